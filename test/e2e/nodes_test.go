// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// A store whose log lives in an emptyDir: on another node nothing is left of it but what
// is in the root. A volume that follows the pod would prove less.
const roamingStore = `
apiVersion: v1
kind: Secret
metadata: {name: {{.Name}}-root, namespace: {{.Namespace}}}
stringData: {AWS_ACCESS_KEY_ID: {{.AccessKey}}, AWS_SECRET_ACCESS_KEY: {{.SecretKey}}}
---
apiVersion: v1
kind: Secret
metadata: {name: {{.Name}}-audit, namespace: {{.Namespace}}}
stringData: {current: k1, k1: 7c9a4c5ce45fd1e0b1d4e6a1f0c2b3a4958677069f8e7d6c5b4a39281706f5e4}
---
apiVersion: v1
kind: Service
metadata: {name: {{.Name}}, namespace: {{.Namespace}}}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {recovery.salvor.io/store: {{.Name}}}
  ports: [{name: api, port: 8410}, {name: control, port: 8411}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: {{.Name}}, namespace: {{.Namespace}}}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector: {matchLabels: {recovery.salvor.io/store: {{.Name}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: {{.Name}}, namespace: {{.Namespace}}}
spec:
  replicas: 1
  serviceName: {{.Name}}
  selector: {matchLabels: {recovery.salvor.io/store: {{.Name}}}}
  template:
    metadata: {labels: {recovery.salvor.io/store: {{.Name}}}}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 40
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: store
        image: {{.Image}}
        imagePullPolicy: Never
        args: [store, serve, --root, "{{.Root}}", --data-dir, /data, --writer, $(POD_NAME), --listen, ":8410", --control-listen, ":8411",
          --checkpoint-interval, 1h, --recover, operator, --shutdown-timeout, 30s, --termination-log, /dev/termination-log]
        env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        envFrom: [{secretRef: {name: {{.Name}}-root}}]
        ports: [{name: api, containerPort: 8410}, {name: control, containerPort: 8411}]
        readinessProbe: {httpGet: {path: /readyz, port: api}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, emptyDir: {}}]
---
apiVersion: recovery.salvor.io/v1alpha1
kind: WALStore
metadata: {name: {{.Name}}, namespace: {{.Namespace}}}
spec:
  root: {uri: {{.URI}}, endpoint: {{.Endpoint}}, pathStyle: true, credentials: {secretRef: {name: {{.Name}}-root}}}
  workload: {statefulSetName: {{.Name}}}
  audit: {keySecretRef: {name: {{.Name}}-audit}}
`

// secondNode is a node with the images that these specs need, which is made if there is
// only one.
func secondNode(ctx context.Context) (string, error) {
	var nodes corev1.NodeList
	if err := h.List(ctx, &nodes); err != nil {
		return "", err
	}
	if len(nodes.Items) > 1 {
		return nodes.Items[len(nodes.Items)-1].Name, nil
	}
	added, err := machine.AddNode(ctx)
	if err != nil {
		return "", err
	}
	By("loading images onto " + added)
	root, err := cluster.Root()
	for _, archive := range []string{"salvor.tar", "versitygw.tar"} {
		if err == nil {
			err = machine.LoadImage(ctx, filepath.Join(root, "dist", archive))
		}
	}
	return added, err
}

// A node is drained under a store of one pod, as an admin or an autoscaler does it.
var _ = Describe("A node that is drained", Ordered, Serial, func() {
	const namespace, name = "roaming", "orders"
	options := harness.StoreOptions{Namespace: namespace, Name: name, Replicas: 1}
	var load *harness.OpenLoad

	BeforeAll(func(ctx SpecContext) {
		second, err := secondNode(ctx)
		if errors.Is(err, cluster.ErrNodes) {
			Skip("it takes two nodes")
		}
		Expect(err).NotTo(HaveOccurred())
		cordon := func(verb string) func(context.Context) {
			return func(ctx context.Context) {
				_, err := h.Kubectl(ctx, verb, second)
				Expect(err).NotTo(HaveOccurred())
			}
		}
		cordon("uncordon")(ctx)
		DeferCleanup(cordon("cordon"), NodeTimeout(time.Minute)) // the other specs' images are not there
		Expect(h.Namespace(ctx, namespace)).To(Succeed())
		cleanUp(namespace)
		Expect(h.ApplyTemplate(ctx, roamingStore, map[string]any{
			"Namespace": namespace, "Name": name, "Image": harness.Image, "AccessKey": harness.AccessKey, "SecretKey": harness.SecretKey,
			"Root": options.InClusterRoot(), "URI": options.RootURI(), "Endpoint": harness.StorageEndpoint,
		})).To(Succeed())
		Expect(h.StoreReady(ctx, namespace, name, 3*time.Minute)).To(Succeed())
		load, err = h.StartOpenLoad(ctx, options, nil, 50)
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(10*time.Minute))

	status := func(ctx context.Context) (st control.Status, err error) {
		raw, err := h.ToPod("GET", namespace, name+"-0", harness.ControlPort, control.StatusPath).DoRaw(ctx)
		if err == nil {
			err = json.Unmarshal(raw, &st)
		}
		return st, err
	}

	// goes waits until n more writes have been acknowledged.
	goes := func(ctx context.Context, n int) {
		GinkgoHelper()
		before, err := load.Traces()
		Expect(err).NotTo(HaveOccurred())
		Expect(h.Eventually(ctx, "the load goes on", 2*time.Minute, func(context.Context) (string, error) {
			now, err := load.Traces()
			if err != nil || len(now) >= len(before)+n {
				return "", err
			}
			return fmt.Sprintf("%d more", len(now)-len(before)), nil
		})).To(Succeed())
	}

	It("lets its pod publish ahead, and go to another node with every acknowledged write", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 140)
		before, err := h.Pod(ctx, namespace, name+"-0")
		Expect(err).NotTo(HaveOccurred())
		node := before.Spec.NodeName
		goes(ctx, 100)
		_, err = h.Kubectl(ctx, "cordon", node)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx context.Context) {
			_, err := h.Kubectl(ctx, "uncordon", node)
			Expect(err).NotTo(HaveOccurred())
		}, NodeTimeout(time.Minute))
		Expect(h.Eventually(ctx, "the store says that the node goes", time.Minute, func(ctx context.Context) (string, error) {
			var ws v1alpha1.WALStore
			if err := h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &ws); err != nil {
				return "", err
			}
			if c := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionChanging); c != nil && c.Reason == v1alpha1.ReasonNodeLeaving {
				return "", nil
			}
			return harness.Conditions(ws.Status.Conditions), nil
		})).To(Succeed())
		var st control.Status
		Expect(h.Eventually(ctx, "the pod publishes though its next checkpoint is an hour away", time.Minute, func(ctx context.Context) (string, error) {
			var err error
			if st, err = status(ctx); err != nil || st.Order == "" || st.Published == 0 {
				return fmt.Sprintf("%+v %v", st, err), nil
			}
			return "", nil
		})).To(Succeed())
		Expect(st.State).To(Equal(control.Serving), "a cordon stops no write")

		eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-0"}}
		Expect(h.Kube.PolicyV1().Evictions(namespace).Evict(ctx, eviction)).To(Succeed(), "the budget allows it")
		Expect(h.Eventually(ctx, "the pod runs elsewhere", 3*time.Minute, func(ctx context.Context) (string, error) {
			p, err := h.Pod(ctx, namespace, name+"-0")
			if client.IgnoreNotFound(err) != nil {
				return "", err
			}
			if p.UID != "" && p.UID != before.UID && p.Status.Phase == corev1.PodRunning && p.Spec.NodeName != node {
				return "", nil
			}
			return fmt.Sprintf("on %s, %s", p.Spec.NodeName, p.Status.Phase), nil
		})).To(Succeed())
		Expect(h.StoreReady(ctx, namespace, name, 2*time.Minute)).To(Succeed())
		goes(ctx, 100) // to the pod on the other node
		acked, _, err := load.StopAndVerify(ctx)
		Expect(err).NotTo(HaveOccurred(), "what was acknowledged on either node is there")
		Expect(acked).To(BeNumerically(">", 200))
	}, NodeTimeout(10*time.Minute))
})

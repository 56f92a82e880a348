// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// What a managed store's pods look like inside.
const (
	storePort     = 8410
	containerName = "store"
	storeUser     = 65532
	dataDir       = "/var/lib/salvor"
	secretDir     = "/var/run/secrets/salvor-root"
	tokenDir      = "/var/run/secrets/salvor-token"
	tokenFile     = "token"
	// afterDrain is what a pod has left, of its grace period, when its store has given up.
	afterDrain = 10 * time.Second
)

func storeLabels(ws *v1alpha1.WALStore) map[string]string {
	return map[string]string{v1alpha1.LabelStore: ws.Name}
}

func allLabels(ws *v1alpha1.WALStore) map[string]string {
	return map[string]string{
		v1alpha1.LabelStore: ws.Name, "app.kubernetes.io/name": "salvor-store",
		"app.kubernetes.io/instance": ws.Name, "app.kubernetes.io/managed-by": "salvor",
	}
}

func owner(ws *v1alpha1.WALStore) *metaac.OwnerReferenceApplyConfiguration {
	return metaac.OwnerReference().WithAPIVersion(v1alpha1.SchemeGroupVersion.String()).WithKind(v1alpha1.KindWALStore).
		WithName(ws.Name).WithUID(ws.UID).WithController(true)
}

// storeService gives each pod a name that DNS knows.
func storeService(ws *v1alpha1.WALStore) *coreac.ServiceApplyConfiguration {
	port := func(name string, n int32) *coreac.ServicePortApplyConfiguration {
		return coreac.ServicePort().WithName(name).WithPort(n).WithProtocol(corev1.ProtocolTCP).WithTargetPort(intstr.FromInt32(n))
	}
	return coreac.Service(ws.Name, ws.Namespace).WithLabels(allLabels(ws)).WithOwnerReferences(owner(ws)).
		WithSpec(coreac.ServiceSpec().WithClusterIP(corev1.ClusterIPNone).WithPublishNotReadyAddresses(true).
			WithSelector(storeLabels(ws)).WithPorts(port("api", storePort), port("control", controlPort(ws))))
}

// storeBudget lets one pod at a time be evicted, and one that does not work always:
// what is evicted publishes first what it has acknowledged, so a node can be drained
// whatever the number of pods.
func storeBudget(ws *v1alpha1.WALStore) *policyac.PodDisruptionBudgetApplyConfiguration {
	return policyac.PodDisruptionBudget(ws.Name, ws.Namespace).WithLabels(allLabels(ws)).WithOwnerReferences(owner(ws)).
		WithSpec(policyac.PodDisruptionBudgetSpec().WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metaac.LabelSelector().WithMatchLabels(storeLabels(ws))))
}

// storeSet runs the reference store: one pod a writer, each with its own log. It
// runs under restricted Pod Security and holds no token for the cluster's own API.
//
// Its controller replaces the pods from partition on, one at a time; the others keep
// their template whatever happens to them. Volumes outlive pods and StatefulSet: what
// was not published when a pod ended is on its own.
func storeSet(ws *v1alpha1.WALStore, image string, s shape, ca bool) *appsac.StatefulSetApplyConfiguration {
	m := ws.Spec.Managed
	drain := given(m.DrainTimeout, v1alpha1.DefaultDrainOfPod)
	pod := coreac.PodSpec().
		WithAutomountServiceAccountToken(false).
		WithTerminationGracePeriodSeconds(int64((drain + afterDrain).Seconds())).
		WithSecurityContext(coreac.PodSecurityContext().WithRunAsNonRoot(true).WithRunAsUser(storeUser).WithRunAsGroup(storeUser).
			WithFSGroup(storeUser).WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(coreac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithContainers(container(ws, image, drain, ca))
	pod.WithVolumes(rootVolumes(ws)...)
	if a := serviceAccount(ws); a != nil {
		pod.WithServiceAccountName(a.Name)
	}
	if len(m.NodeSelector) > 0 {
		pod.WithNodeSelector(m.NodeSelector)
	}
	if m.PriorityClassName != "" {
		pod.WithPriorityClassName(m.PriorityClassName)
	}
	size := resource.MustParse("1Gi")
	if m.Storage.Size != nil {
		size = *m.Storage.Size
	}
	claim := coreac.PersistentVolumeClaimSpec().WithAccessModes(corev1.ReadWriteOnce).
		WithResources(coreac.VolumeResourceRequirements().WithRequests(corev1.ResourceList{corev1.ResourceStorage: size}))
	if m.Storage.StorageClassName != nil {
		claim.WithStorageClassName(*m.Storage.StorageClassName)
	}
	return appsac.StatefulSet(ws.Name, ws.Namespace).WithLabels(allLabels(ws)).WithOwnerReferences(owner(ws)).
		WithAnnotations(map[string]string{v1alpha1.AnnotationTemplate: s.template}).
		WithSpec(appsac.StatefulSetSpec().WithReplicas(s.replicas).WithServiceName(ws.Name).
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			WithUpdateStrategy(appsac.StatefulSetUpdateStrategy().WithType(appsv1.RollingUpdateStatefulSetStrategyType).
				WithRollingUpdate(appsac.RollingUpdateStatefulSetStrategy().WithPartition(s.partition))).
			WithPersistentVolumeClaimRetentionPolicy(appsac.StatefulSetPersistentVolumeClaimRetentionPolicy().
				WithWhenDeleted(appsv1.RetainPersistentVolumeClaimRetentionPolicyType).
				WithWhenScaled(appsv1.RetainPersistentVolumeClaimRetentionPolicyType)).
			WithSelector(metaac.LabelSelector().WithMatchLabels(storeLabels(ws))).
			WithTemplate(coreac.PodTemplateSpec().WithLabels(allLabels(ws)).WithSpec(pod)).
			WithVolumeClaimTemplates(coreac.PersistentVolumeClaim("data", "").WithSpec(claim)))
}

func container(ws *v1alpha1.WALStore, image string, drain time.Duration, ca bool) *coreac.ContainerApplyConfiguration {
	m := ws.Spec.Managed
	port := func(name string, n int32) *coreac.ContainerPortApplyConfiguration {
		return coreac.ContainerPort().WithName(name).WithContainerPort(n).WithProtocol(corev1.ProtocolTCP)
	}
	probe := func(path string) *coreac.ProbeApplyConfiguration {
		return coreac.Probe().WithHTTPGet(coreac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString("api")))
	}
	interval := v1alpha1.DefaultCheckpointInterval
	if m.CheckpointInterval != nil {
		interval = m.CheckpointInterval.Duration
	}
	c := coreac.Container().WithName(containerName).WithImage(image).
		WithArgs("store", "serve", "--root", storeRoot(ws, ca), "--data-dir", dataDir, "--writer", "$(POD_NAME)",
			"--listen", fmt.Sprintf(":%d", storePort), "--control-listen", fmt.Sprintf(":%d", controlPort(ws)),
			"--checkpoint-interval", interval.String(), "--recover", "operator",
			"--shutdown-timeout", drain.String(), "--termination-log", corev1.TerminationMessagePathDefault).
		WithArgs(logFlags(m.Log)...).
		WithEnv(coreac.EnvVar().WithName("POD_NAME").WithValueFrom(coreac.EnvVarSource().
			WithFieldRef(coreac.ObjectFieldSelector().WithFieldPath("metadata.name")))).
		WithPorts(port("api", storePort), port("control", controlPort(ws))).
		WithReadinessProbe(probe("/readyz").WithPeriodSeconds(2)).
		WithLivenessProbe(probe("/healthz").WithPeriodSeconds(10).WithFailureThreshold(6)).
		WithSecurityContext(coreac.SecurityContext().WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true).
			WithCapabilities(coreac.Capabilities().WithDrop("ALL"))).
		WithVolumeMounts(coreac.VolumeMount().WithName("data").WithMountPath(dataDir))
	for _, v := range rootVolumes(ws) {
		c.WithVolumeMounts(coreac.VolumeMount().WithName(*v.Name).WithMountPath(map[string]string{"root": secretDir, "token": tokenDir}[*v.Name]).WithReadOnly(true))
	}
	c.WithEnv(tokenEnvironment(ws)...)
	if m.ImagePullPolicy != "" {
		c.WithImagePullPolicy(corev1.PullPolicy(m.ImagePullPolicy))
	}
	if m.Resources != nil {
		c.WithResources(coreac.ResourceRequirements().WithRequests(amounts(m.Resources.Requests)).WithLimits(amounts(m.Resources.Limits)))
	} else {
		c.WithResources(coreac.ResourceRequirements().WithRequests(leastRequests()))
	}
	return c
}

// leastRequests keep a pod for which nobody has said anything out of the class BestEffort:
// all pods of that together get next to nothing while others want the processor, and they
// are the first that a node without memory ends.
func leastRequests() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse(v1alpha1.DefaultCPURequest),
		corev1.ResourceMemory: resource.MustParse(v1alpha1.DefaultMemoryRequest),
	}
}

// logFlags are the flags of what was asked for: what was not has no flag, so that another
// default of a new image comes with that image.
func logFlags(l v1alpha1.ManagedLog) (flags []string) {
	if l.Sync != "" {
		flags = append(flags, "--sync", strings.ToLower(string(l.Sync)))
	}
	if l.SyncInterval != nil {
		flags = append(flags, "--sync-interval", l.SyncInterval.Duration.String())
	}
	if l.MirrorInterval != nil {
		flags = append(flags, "--mirror-interval", l.MirrorInterval.Duration.String())
	}
	return flags
}

func amounts(a *v1alpha1.ResourceAmounts) corev1.ResourceList {
	out := corev1.ResourceList{}
	if a == nil {
		return out
	}
	for name, q := range map[corev1.ResourceName]*resource.Quantity{corev1.ResourceCPU: a.CPU, corev1.ResourceMemory: a.Memory} {
		if q != nil {
			out[name] = *q
		}
	}
	return out
}

// storeRoot is the root as the store's own --root takes it. ca: the Secret holds
// certificates to trust.
func storeRoot(ws *v1alpha1.WALStore, ca bool) string {
	root := ws.Spec.Root
	if isLocal(root.URI) {
		return root.URI
	}
	q := url.Values{}
	if root.Endpoint != "" {
		q.Set("endpoint", root.Endpoint)
	}
	if root.StorageAccount != "" {
		q.Set("storage_account", root.StorageAccount)
	}
	if strings.HasPrefix(root.URI, "s3://") {
		addressing(q, root)
	} else if account := serviceAccount(ws); account != nil {
		federation(q, account)
	}
	if root.Credentials != nil && serviceAccount(ws) == nil {
		q.Set("credentials_dir", secretDir)
	}
	if ca {
		q.Set("ca_file", secretDir+"/"+v1alpha1.SecretCA)
	}
	tune(q, root)
	if len(q) == 0 {
		return root.URI
	}
	return root.URI + "?" + q.Encode()
}

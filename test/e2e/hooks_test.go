// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// postgresManifest is a PostgreSQL as anybody may run it: with the scripts of
// config/samples/storemaintenance_postgres.yaml mounted, and no word of salvor but a label.
const postgresManifest = `
apiVersion: v1
kind: Secret
metadata: {name: db-root, namespace: {{.Namespace}}}
stringData: {AWS_ACCESS_KEY_ID: {{.AccessKey}}, AWS_SECRET_ACCESS_KEY: {{.SecretKey}}}
---
apiVersion: v1
kind: Secret
metadata: {name: db-audit, namespace: {{.Namespace}}}
stringData:
  current: "2026-01"
  "2026-01": 7c9a4c5ce45fd1e0b1d4e6a1f0c2b3a4958677069f8e7d6c5b4a39281706f5e4
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: {{.Namespace}}}
spec:
  serviceName: db
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata:
      labels: {app: db, recovery.salvor.io/store: db}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: postgres
        image: salvor.local/postgres:15
        imagePullPolicy: Never
        command: [/bin/sh, -ec]
        args:
        - |
          PATH=/usr/lib/postgresql/15/bin:$PATH
          test -s /data/db/PG_VERSION || initdb -D /data/db -U postgres --auth=trust --locale=C --encoding=UTF8 --no-sync
          chmod 0700 /data/db # the kubelet lets the group of fsGroup in, each time that it mounts, and PostgreSQL does not start then
          exec postgres -D /data/db -c listen_addresses= -c unix_socket_directories=/run/postgresql -c autovacuum=off -c wal_level=minimal -c max_wal_senders=0
        env:
        - {name: PGHOST, value: /run/postgresql}
        - {name: PGUSER, value: postgres}
        readinessProbe:
          exec: {command: [/usr/lib/postgresql/15/bin/pg_isready, -q]}
          periodSeconds: 1
          timeoutSeconds: 10
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        volumeMounts:
        - {name: data, mountPath: /data}
        - {name: run, mountPath: /run/postgresql}
        - {name: run, mountPath: /tmp}
        - {name: hooks, mountPath: /hooks}
      volumes:
      - {name: run, emptyDir: {}}
      - {name: hooks, configMap: {name: postgres-hooks}}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 256Mi}}
---
apiVersion: recovery.salvor.io/v1alpha1
kind: WALStore
metadata: {name: db, namespace: {{.Namespace}}}
spec:
  root:
    uri: {{.Root}}
    endpoint: {{.Endpoint}}
    pathStyle: true
    credentials: {secretRef: {name: db-root}}
  workload: {statefulSetName: db}
  audit: {keySecretRef: {name: db-audit}}
`

// A real PostgreSQL, which knows nothing of salvor, is frozen by commands that run in
// its pod, restarted meanwhile, and has its own settings again after the thaw.
var _ = Describe("A database that does not speak control", Ordered, Serial, func() {
	const namespace = "database"
	options := harness.StoreOptions{Namespace: namespace, Name: "db"}
	var sample []string // the documents of config/samples/storemaintenance_postgres.yaml

	psql := func(ctx context.Context, database, sql string) (string, error) {
		out, err := h.Kubectl(ctx, "exec", "-n", namespace, "db-0", "-c", "postgres", "--", "/usr/lib/postgresql/15/bin/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql)
		return strings.TrimSpace(out), err
	}
	sql := func(ctx context.Context, database, text string) string {
		GinkgoHelper()
		out, err := psql(ctx, database, text)
		Expect(err).NotTo(HaveOccurred())
		return out
	}
	ready := func(ctx context.Context) {
		GinkgoHelper()
		Expect(h.Eventually(ctx, "PostgreSQL takes connections", 3*time.Minute, func(ctx context.Context) (string, error) {
			out, err := psql(ctx, "postgres", "SELECT 1")
			return strings.TrimPrefix(out, "1"), err
		})).To(Succeed())
	}
	// settings are those that decide what may be written, wherever they are set.
	settings := func(ctx context.Context) string {
		GinkgoHelper()
		return sql(ctx, "postgres", `SELECT 'file ' || setting FROM pg_file_settings WHERE name = 'default_transaction_read_only'
			UNION ALL SELECT setdatabase || ' ' || setrole::regrole || ' ' || array_to_string(setconfig, ',') FROM pg_db_role_setting ORDER BY 1`)
	}
	get := func(ctx context.Context) *v1alpha1.StoreMaintenance {
		GinkgoHelper()
		var m v1alpha1.StoreMaintenance
		Expect(h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "postgres-restart"}, &m)).To(Succeed())
		return &m
	}
	says := func(ctx context.Context, condition, reason string) {
		GinkgoHelper()
		Expect(h.Eventually(ctx, "the maintenance says "+reason, 4*time.Minute, func(ctx context.Context) (string, error) {
			m := get(ctx)
			for _, c := range m.Status.Conditions {
				if c.Type == condition && c.Reason == reason {
					return "", nil
				}
			}
			return harness.Conditions(m.Status.Conditions) + fmt.Sprintf(" %+v", m.Status.Stores), nil
		})).To(Succeed())
	}

	BeforeAll(func(ctx SpecContext) {
		root, err := cluster.Root()
		Expect(err).NotTo(HaveOccurred())
		image := filepath.Join(root, "dist", "postgres.tar")
		if _, err := os.Stat(image); err != nil {
			if os.Getenv("REQUIRE_NODE") == "1" {
				Fail("there is no image of PostgreSQL: run `make image-postgres` first")
			}
			Skip("there is no image of PostgreSQL: `make image-postgres` packs it on Debian 12")
		}
		Expect(machine.LoadImage(ctx, image)).To(Succeed())
		raw, err := os.ReadFile(filepath.Join(root, "config", "samples", "storemaintenance_postgres.yaml"))
		Expect(err).NotTo(HaveOccurred())
		text := strings.NewReplacer("\nmetadata:\n", "\nmetadata:\n  namespace: "+namespace+"\n", "name: ledger", "name: db", "2030-01-01T02:00:00Z", time.Now().Add(30*time.Minute).UTC().Format(time.RFC3339)).Replace(string(raw))
		sample = strings.Split(text, "\n---\n")
		Expect(sample).To(HaveLen(2))
		Expect(h.Namespace(ctx, namespace)).To(Succeed())
		cleanUp(namespace)
		Expect(h.Apply(ctx, []byte(sample[0]))).To(Succeed())
		Expect(h.ApplyTemplate(ctx, postgresManifest, map[string]any{
			"Namespace": namespace, "Root": options.RootURI(), "Endpoint": harness.StorageEndpoint, "AccessKey": harness.AccessKey, "SecretKey": harness.SecretKey,
		})).To(Succeed())
		ready(ctx)
		// Nobody's defaults: whatever the freeze does to them has to be undone.
		for _, text := range []string{
			"CREATE DATABASE app", "CREATE ROLE reporter LOGIN", "ALTER SYSTEM SET default_transaction_read_only = off",
			"ALTER DATABASE app SET default_transaction_read_only = off", "ALTER ROLE reporter SET default_transaction_read_only = on", "SELECT pg_reload_conf()",
		} {
			sql(ctx, "postgres", text)
		}
		sql(ctx, "app", "CREATE TABLE t (i int)")
		sql(ctx, "app", "INSERT INTO t VALUES (1)")
	}, NodeTimeout(8*time.Minute))

	It("is not touched before its namespace lets commands be run", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 139, 149)
		Expect(h.Apply(ctx, []byte(sample[1]))).To(Succeed())
		says(ctx, v1alpha1.ConditionAccepted, v1alpha1.ReasonHookNotPermitted)
		sql(ctx, "app", "INSERT INTO t VALUES (2)")
		Expect(h.Delete(ctx, get(ctx))).To(Succeed())
		_, err := h.Kubectl(ctx, "-n", namespace, "create", "rolebinding", "salvor-hook-runner", "--clusterrole", "salvor-hook-runner", "--serviceaccount", "salvor-system:salvor-operator")
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(5*time.Minute))

	It("is read-only while it is held, restarted or not, and then what it was", func(ctx SpecContext) {
		contract.Row(GinkgoTB(), 137, 139)
		before := settings(ctx)
		began := time.Now().Truncate(time.Second)
		// A writer with an open transaction, which nobody ends.
		open := make(chan error, 1)
		go func() {
			_, err := psql(ctx, "app", "BEGIN; INSERT INTO t VALUES (99); SELECT pg_sleep(300); COMMIT")
			open <- err
		}()
		Expect(h.Eventually(ctx, "a transaction is open", time.Minute, func(ctx context.Context) (string, error) {
			out, err := psql(ctx, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND xact_start IS NOT NULL")
			return strings.TrimPrefix(out, "1"), err
		})).To(Succeed())

		Expect(h.Apply(ctx, []byte(sample[1]))).To(Succeed())
		says(ctx, v1alpha1.ConditionHeld, v1alpha1.ReasonFrozen)
		Expect(<-open).To(HaveOccurred(), "the open transaction was ended")
		_, err := psql(ctx, "app", "INSERT INTO t VALUES (3)")
		Expect(err).To(MatchError(ContainSubstring("read-only transaction")))
		Expect(sql(ctx, "app", "SELECT string_agg(i::text, ',') FROM t")).To(Equal("1,2"), "reads go on, and nothing came through")

		// The checkpoint is of the freeze, and no log lies behind it but its own record.
		control, err := h.Kubectl(ctx, "exec", "-n", namespace, "db-0", "-c", "postgres", "--", "/usr/lib/postgresql/15/bin/pg_controldata", "/data/db")
		Expect(err).NotTo(HaveOccurred())
		lsn, at := controlValue(control, "Latest checkpoint location:"), controlValue(control, "Time of latest checkpoint:")
		when, err := time.Parse("Mon Jan _2 15:04:05 2006", at)
		Expect(err).NotTo(HaveOccurred(), control)
		Expect(when).NotTo(BeTemporally("<", began.UTC()))
		behind, err := strconv.Atoi(sql(ctx, "postgres", fmt.Sprintf("SELECT pg_current_wal_insert_lsn() - '%s'::pg_lsn", lsn)))
		Expect(err).NotTo(HaveOccurred())
		Expect(behind).To(And(BeNumerically(">", 0), BeNumerically("<=", 256)), "bytes of log behind the checkpoint's beginning")

		// The restart for which all this is done.
		var run v1alpha1.HookRun
		Expect(h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "db"}, &run)).To(Succeed())
		first := run.Status.Pods[0].Hooks[0]
		Expect(*first.Prior).To(ContainSubstring("ALTER DATABASE app SET default_transaction_read_only = 'off';"))
		Expect(*first.Pre.ExitCode).To(BeZero())
		Expect(first.Pre.Output).To(ContainSubstring("checkpoint at " + lsn))
		Expect(h.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db-0"}})).To(Succeed())
		Expect(h.Eventually(ctx, "pre has run in the new pod", 4*time.Minute, func(ctx context.Context) (string, error) {
			if err := h.Get(ctx, client.ObjectKeyFromObject(&run), &run); err != nil {
				return "", err
			}
			if p := run.Status.Pods[0].Hooks[0].Pre; p.On == first.Pre.On || p.Result != v1alpha1.HookSucceeded {
				return fmt.Sprintf("%+v", p), nil
			}
			return "", nil
		})).To(Succeed())
		Expect(*run.Status.Pods[0].Hooks[0].Prior).To(Equal(*first.Prior), "the prior settings are those of before the freeze")
		_, err = psql(ctx, "app", "INSERT INTO t VALUES (4)")
		Expect(err).To(MatchError(ContainSubstring("read-only transaction")))
		says(ctx, v1alpha1.ConditionHeld, v1alpha1.ReasonFrozen)

		// An operator that starts in between knows what to undo.
		_, err = h.Kubectl(ctx, "delete", "pod", "-n", harness.OperatorNamespace, "-l", "app.kubernetes.io/component=operator", "--wait=false")
		Expect(err).NotTo(HaveOccurred())
		Expect(h.Delete(ctx, get(ctx))).To(Succeed())
		b, closeBucket, err := h.Bucket(ctx, options.RootURI())
		Expect(err).NotTo(HaveOccurred())
		defer closeBucket()
		Expect(h.Eventually(ctx, "the lock is released", 4*time.Minute, func(ctx context.Context) (string, error) {
			m, err := manifest.Open(ctx, b, manifest.Options{NewID: func() string { return "reader" }})
			if err != nil || m.View().Lock == nil {
				return "", err
			}
			return fmt.Sprintf("%+v", m.View().Lock), nil
		})).To(Succeed())
		Expect(settings(ctx)).To(Equal(before))
		sql(ctx, "app", "INSERT INTO t VALUES (5)")
		Expect(sql(ctx, "app", "SELECT string_agg(i::text, ',') FROM t")).To(Equal("1,2,5"))
		Expect(h.Eventually(ctx, "nothing is left over", time.Minute, func(ctx context.Context) (string, error) {
			if err := h.Get(ctx, client.ObjectKeyFromObject(&run), &run); client.IgnoreNotFound(err) == nil && err != nil {
				return "", nil
			}
			return harness.Conditions(run.Status.Conditions), nil
		})).To(Succeed())
	}, NodeTimeout(15*time.Minute))
})

// controlValue is one line of what pg_controldata prints.
func controlValue(text, name string) string {
	GinkgoHelper()
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(v)
		}
	}
	Fail("pg_controldata does not say " + name + "\n" + text)
	return ""
}

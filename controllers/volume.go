// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/control"
)

// volume is what the data directory of a pod lies on.
type volume struct {
	pod types.UID
	// claim is the PersistentVolumeClaim; empty: it is something else, which is says.
	claim, is string
	// stays: it outlives the pod.
	stays bool
}

// volumes are those of pods whose logs have failed or will. The cache has none, so each
// of these pods is read once; what cannot be read is taken for one that goes.
func (r *WALStoreReconciler) volumes(ctx context.Context, m *memory, members map[string]member) map[string]volume {
	out := map[string]volume{}
	for name, to := range members {
		if to.status == nil || to.status.State != control.Poisoned && !nearlyFull(to.status.Disk) {
			continue
		}
		v, had := m.volumes[name]
		if !had || v.pod != to.pod.UID {
			var pod corev1.Pod
			if err := r.live.Get(ctx, client.ObjectKeyFromObject(&to.pod), &pod); err != nil || pod.UID != to.pod.UID {
				continue
			}
			v = volumeOf(&pod, dirOf(to.status))
		}
		out[name] = v
	}
	m.volumes = out
	return out
}

// dirOf is the data directory, as a process names it.
func dirOf(st *control.Status) string {
	if st.Disk == nil {
		return ""
	}
	return st.Disk.Dir
}

// volumeOf finds what a directory in a pod lies on: the mount with the longest path
// above it. Of two containers that mount something there the first counts. It is pure.
func volumeOf(pod *corev1.Pod, dir string) volume {
	v := volume{pod: pod.UID, is: "the container's own file system"}
	longest, name := -1, ""
	for _, c := range pod.Spec.Containers {
		for _, mount := range c.VolumeMounts {
			path := strings.TrimSuffix(mount.MountPath, "/")
			if (dir == path || strings.HasPrefix(dir, path+"/")) && dir != "" && len(path) > longest {
				longest, name = len(path), mount.Name
			}
		}
	}
	for _, s := range pod.Spec.Volumes {
		if s.Name != name || name == "" {
			continue
		}
		v.is = "volume " + s.Name
		switch {
		case s.PersistentVolumeClaim != nil:
			v.claim, v.stays = s.PersistentVolumeClaim.ClaimName, true
			v.is = "PersistentVolumeClaim " + v.claim
		case s.EmptyDir != nil && s.EmptyDir.Medium == corev1.StorageMediumMemory:
			v.is = "volume " + s.Name + " (an emptyDir in memory)"
		case s.EmptyDir != nil:
			v.is = "volume " + s.Name + " (an emptyDir)"
		case s.Ephemeral != nil: // its claim goes with the pod
			v.claim = pod.Name + "-" + s.Name
			v.is = "PersistentVolumeClaim " + v.claim
		}
	}
	return v
}

// nearlyFull: less than a tenth is left, or less than a log needs to go on.
func nearlyFull(d *control.Disk) bool {
	return d != nil && d.Total > 0 && (d.Free < d.Total/10 || d.Free < d.Needs)
}

// fullness says how full a volume is, and whose that is.
func fullness(d *control.Disk, v volume) string {
	what := v.is
	if what == "" {
		what = "the file system of its log"
	}
	if d == nil {
		return what + " is full"
	}
	return fmt.Sprintf("%s has %d of %d bytes used", what, d.Total-d.Free, d.Total)
}

// resize is how a volume is made larger.
func resize(namespace string, d *control.Disk, v volume) string {
	if v.claim == "" {
		return "give the pod a larger volume"
	}
	larger := "SIZE"
	if d != nil && d.Total > 0 {
		larger = fmt.Sprintf("%dMi", max(1, (2*d.Total)>>20))
	}
	return fmt.Sprintf(`kubectl -n %s patch pvc %s -p '{"spec":{"resources":{"requests":{"storage":"%s"}}}}'`, namespace, v.claim, larger)
}

// nearly are the pods whose logs work on volumes that are nearly full, each in a
// sentence.
func nearly(members map[string]member, volumes map[string]volume) (out []string) {
	for name, to := range members {
		if st := to.status; st != nil && st.State != control.Poisoned && nearlyFull(st.Disk) {
			v := volumes[name] // in percent: bytes move all the time
			out = append(out, fmt.Sprintf("pod %s: %s is used to %d %% of its %d bytes: %s", name, v.is, 100-100*st.Disk.Free/st.Disk.Total, st.Disk.Total, resize(to.pod.Namespace, st.Disk, v)))
		}
	}
	slices.Sort(out)
	return out
}

// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

// What the operator may do, each with its reason. config/rbac/operator is
// generated from here; a namespaced install turns the same rules into a Role.

// Reads the stores it is asked to operate, and says what it found.
// +kubebuilder:rbac:groups=recovery.salvor.io,resources=walstores,verbs=get;list;watch
// +kubebuilder:rbac:groups=recovery.salvor.io,resources=walstores/status,verbs=patch

// Makes and retires the windows on pending operations.
// +kubebuilder:rbac:groups=recovery.salvor.io,resources=recoverysidecars,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=recovery.salvor.io,resources=recoverysidecars/status,verbs=patch

// Freezes stores and lets them go.
// +kubebuilder:rbac:groups=recovery.salvor.io,resources=storemaintenances,verbs=get;list;watch
// +kubebuilder:rbac:groups=recovery.salvor.io,resources=storemaintenances/status,verbs=update

// Writes down what hooks of maintenances do, before they do it.
// +kubebuilder:rbac:groups=recovery.salvor.io,resources=hookruns,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=recovery.salvor.io,resources=hookruns/status,verbs=update

// Watches writers; only pods with the label recovery.salvor.io/store are kept.
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch

// Gets, by name, the Secrets that a WALStore of the same namespace refers to. It
// never lists them.
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get

// Reads which cluster this is: the uid of kube-system stands in each root's claim.
// +kubebuilder:rbac:groups="",resources=namespaces,resourceNames=kube-system,verbs=get

// Runs managed stores, and reads StatefulSets that stores adopt.
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=services,verbs=get;create;patch

// Lets one pod of a managed store at a time be evicted, and looks whether the budgets
// of others ever do.
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch

// Restarts pods whose logs have failed, where the disruption budgets allow it.
// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create

// The right to see nodes is not here: a Role cannot give it. config/rbac/nodes does,
// in installs for a whole cluster; without it nobody sees a node that is about to go.

// The tokens of ServiceAccounts that open roots are not here: whoever may ask for
// one can act as that ServiceAccount. Each namespace gives that right where its
// stores need it (config/rbac/token); without it they say TokenForbidden.

// Nor is running commands in pods, which hooks of kind exec need: config/rbac/hooks, by
// namespace; without it a maintenance with such hooks says HookNotPermitted.

// Tells people.
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

//go:build tools

// Package containerd pins the container runtime of the cluster's nodes: what up builds, as imports that the module keeps.
package containerd

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)

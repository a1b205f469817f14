//go:build tools

// Package metallb pins the MetalLB that the scenes hand over from: what up builds, as imports that the module keeps.
package metallb

import (
	_ "go.universe.tf/metallb/controller"
	_ "go.universe.tf/metallb/speaker"
)

//go:build lab

package ansibletest

// onLab says that the tests ask the lab's real services.
const onLab = true

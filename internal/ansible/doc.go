// Package ansible speaks Ansible's protocol for binary modules: the arguments
// come as a JSON file named by the first argument, the answer is one JSON object
// on standard output. It knows nothing of OpenStack.
//
// Ansible gives a Go binary none of what AnsibleModule gives a Python one: it
// runs in check mode too, its option values arrive uncoerced, nothing masks its
// secrets, its exit code is ignored once the JSON parses, and over SSH its
// standard error is mixed into its standard output. All of that is dealt with
// here, so that a module is a declaration of options and one function.
package ansible

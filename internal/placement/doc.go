// Package placement reads and replaces the allocations of consumers, guarded by
// their generations, and knows which resource providers form a tree.
package placement

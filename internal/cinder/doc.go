// Package cinder reads and releases what Cinder keeps about an instance: its
// attachments, the volumes behind them, and their snapshots.
//
// It decodes the few fields that are judged. What Cinder tells a host about how to
// connect holds passwords and keys, of which nothing is kept.
package cinder

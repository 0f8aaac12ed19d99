// Package nova reads and finishes an instance's record in Nova's databases: the
// API database finds the cells, a cell's database holds the record.
//
// Rows are read by column name and kept as the database writes them, so that any
// release of Nova works and a backup restores exact values.
package nova

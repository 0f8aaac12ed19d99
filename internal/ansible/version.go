package ansible

import "runtime/debug"

// Version is that of the program, as the Go toolchain stamps it from git: a tag, or
// a pseudo-version with the time and the revision; "devel" if it was built without git.
func Version() string {
	info, _ := debug.ReadBuildInfo()
	return version(info)
}

func version(info *debug.BuildInfo) string {
	if info == nil || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel" // in a User-Agent parentheses are a comment
	}
	return info.Main.Version
}

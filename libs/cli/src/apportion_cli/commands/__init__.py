"""The commands of `apportion`, a file each."""

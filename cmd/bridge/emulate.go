package main

import "github.com/spf13/cobra"

func newEmulateCommand(*app) *cobra.Command { return &cobra.Command{Use: "emulate"} }

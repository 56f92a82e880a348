package main

import "github.com/spf13/cobra"

func doctorCommand() *cobra.Command     { return &cobra.Command{Use: "doctor"} }
func containerCommand() *cobra.Command  { return &cobra.Command{Use: "container"} }
func nodeCommand() *cobra.Command       { return &cobra.Command{Use: "node"} }

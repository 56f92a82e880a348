package main

import "github.com/spf13/cobra"

func downCommand() *cobra.Command       { return &cobra.Command{Use: "down"} }
func doctorCommand() *cobra.Command     { return &cobra.Command{Use: "doctor"} }
func containerCommand() *cobra.Command  { return &cobra.Command{Use: "container"} }
func nodeCommand() *cobra.Command       { return &cobra.Command{Use: "node"} }

package main

import (
	"github.com/spf13/cobra"

	"fnobridge/internal/config"
)

func newConfigCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration, or the schema of its file",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShowCommand(a), newConfigSchemaCommand(a))
	return cmd
}

func newConfigShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print the effective configuration, defaults included",
		Long: `Print the effective configuration as YAML: what the file says and every default
that it leaves alone. A secret is shown by where it is kept, and as [set]; its value
is never printed.`,
		Example: `  bridge config show -c bridge.yaml
  diff <(bridge config show -c old.yaml) <(bridge config show -c new.yaml)`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			out, err := c.Show()
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(out)
			return written(err)
		},
	}
}

func newConfigSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Long: `Print the JSON Schema of bridge.yaml. Editors with a YAML language server complete and
check the file when its first line is

  # yaml-language-server: $schema=bridge.schema.json`,
		Example: `  bridge config schema > bridge.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			out, err := config.SchemaJSON()
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(out)
			return written(err)
		},
	}
}

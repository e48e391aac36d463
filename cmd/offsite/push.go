package main

import (
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"offsite/agent"
)

func pushCommand(config *string, std streams) *cobra.Command {
	return &cobra.Command{
		Use: "push FILE...", Short: "Ship finished dumps now", Args: usage(cobra.MinimumNArgs(1)),
		Long: `Ships the named files now, to every target, and waits until it is done. A file in a watched directory counts as
shipped for the agent too; while the agent runs, it ships those by itself. Other files have a journal of their own.`,
		RunE: func(cmd *cobra.Command, files []string) (err error) {
			c, err := loadConfig(*config)
			if err != nil {
				return err
			}
			o, err := agentOptions(c, std.err)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeTargets(o.Targets)) }()
			for i := range o.Targets {
				o.Targets[i].Retention = agent.Off // what a person pushes is shipped, whatever its age
			}
			for i := range files {
				if files[i], err = filepath.Abs(files[i]); err != nil {
					return err
				}
				if dir, err := filepath.EvalSymlinks(filepath.Dir(files[i])); err == nil {
					files[i] = filepath.Join(dir, filepath.Base(files[i])) // as the agent names what it watches
				}
			}
			p := newProgress(std.err)
			o.Observer = p
			s, err := agent.Push(cmd.Context(), o, files)
			p.wait()
			summarise(s, std)
			return errors.Join(err, outcome(s))
		},
	}
}

// Package manual writes the pages of the manual: section 1 from the commands themselves, and offsite.yaml(5) from the example
// configuration, which is tested to have every key. So no page can say what the program does not know.
package manual

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Page is a page of the manual.
type Page struct {
	// Name is that of its file, such as offsite-list.1.
	Name string
	Text []byte
}

// Source is what a page says of where it comes from.
type Source struct {
	Version string
	Date    time.Time
}

// Commands gives a page for root and for each command below it that help shows. aside is what the page of root says besides, of files and
// the like, by the titles of sections.
func Commands(root *cobra.Command, from Source, aside [][2]string) (pages []Page) {
	pages = append(pages, command(root, from, aside))
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			pages = append(pages, Commands(c, from, nil)...)
		}
	}
	return pages
}

func command(cmd *cobra.Command, from Source, aside [][2]string) Page {
	cmd.InitDefaultHelpFlag()
	name := dashed(cmd)
	p := newPage(name, "1", from.Version, from.Date)
	p.section("NAME")
	p.line(escape(name) + ` \- ` + inline(lowered(cmd.Short)))
	p.section("SYNOPSIS")
	_, args, _ := strings.Cut(strings.TrimSuffix(cmd.UseLine(), " [flags]"), cmd.CommandPath())
	p.line(bold(cmd.CommandPath()) + escape(args) + " [" + italic("flags") + "]")
	p.section("DESCRIPTION")
	if cmd.Long == "" {
		p.text(cmd.Short + ".")
	}
	p.text(cmd.Long)
	subcommands(p, cmd)
	options(p, "OPTIONS", cmd.NonInheritedFlags())
	options(p, "GENERAL OPTIONS", cmd.InheritedFlags())
	for _, section := range aside {
		p.section(section[0])
		p.text(section[1])
	}
	p.section("SEE ALSO")
	p.line(strings.Join(related(cmd), ", "))
	return Page{name + ".1", []byte(p.String())}
}

func subcommands(p *page, cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	p.section("COMMANDS")
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			p.tagged(bold(c.Name()), c.Short+"; see `"+dashed(c)+"`(1).")
		}
	}
}

func options(p *page, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		term := bold("--" + f.Name)
		if f.Shorthand != "" {
			term = bold("-"+f.Shorthand) + ", " + term
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			term += " " + italic(kind)
		}
		switch f.DefValue {
		case "", "false", "0", "[]":
		default:
			usage += " (default: " + f.DefValue + ")"
		}
		p.tagged(term, usage)
	})
}

// related are the pages above and below, and those that say what files hold.
func related(cmd *cobra.Command) (names []string) {
	if cmd.HasParent() {
		names = append(names, bold(dashed(cmd.Parent()))+"(1)")
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, bold(dashed(c))+"(1)")
		}
	}
	names = append(names, bold("offsite.yaml")+"(5)")
	if !cmd.HasParent() {
		names = append(names, bold("offsite-format")+"(7)", bold("age")+"(1)")
	}
	return names
}

func dashed(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// lowered is a sentence as it stands behind a name: it does not begin anew.
func lowered(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

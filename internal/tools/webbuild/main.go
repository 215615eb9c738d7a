// Command webbuild bundles the pages' TypeScript and styles into the folder that
// the server embeds.
//
//	go run ./internal/tools/webbuild [-src web] [-out internal/server/web/dist]
//
// Names carry a hash of the content, so that they can be cached for ever; the
// manifest tells the server which name is the current one. The command fails
// when all JavaScript and CSS together, compressed, are over the budget.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("webbuild: ")
	b := build{}
	flag.StringVar(&b.src, "src", "web", "folder of the npm package")
	flag.StringVar(&b.out, "out", "internal/server/web/dist", "folder to write the bundle to")
	flag.Int64Var(&b.budget, "budget", 250<<10, "greatest compressed size of all JavaScript and CSS, in bytes")
	flag.BoolVar(&b.dev, "dev", false, "keep the code readable and add source maps")
	flag.Parse()
	if err := run(b, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(b build, out io.Writer) error {
	if _, err := os.Stat(b.src + "/node_modules"); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no %s/node_modules: run npm ci --ignore-scripts in %s first", b.src, b.src)
	}
	files, err := b.bundle()
	if err != nil {
		return err
	}
	if err := b.write(files); err != nil {
		return err
	}
	return b.report(files, out)
}

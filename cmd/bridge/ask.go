package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// terminal returns the terminal that an answer can come from, if there is one.
func (a *app) terminal() (*os.File, bool) {
	in, ok := a.stdin.(*os.File)
	return in, ok && term.IsTerminal(int(in.Fd()))
}

// ask returns the line that was typed as the answer to a question.
func (a *app) ask(in *os.File, question string) (string, error) {
	if _, err := fmt.Fprint(a.stderr, question); err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// applyPatch applies a unified diff to one file. Hunks are found by their text,
// each of which must be in the file exactly once; line numbers are ignored, since
// the amalgamation of another packager may start with other lines.
func applyPatch(file, patch string) error {
	data, err := os.ReadFile(patch)
	if err != nil {
		return err
	}
	hunks, err := parseHunks(string(data))
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(patch), err)
	}
	for i, h := range hunks {
		if err := replaceOnce(file, h.old, h.new); err != nil {
			return fmt.Errorf("%s: hunk %d: %w", filepath.Base(patch), i+1, err)
		}
	}
	return nil
}

type hunk struct{ old, new string }

func parseHunks(text string) ([]hunk, error) {
	var hunks []hunk
	var h *hunk
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "@@"):
			hunks = append(hunks, hunk{})
			h = &hunks[len(hunks)-1]
		case h == nil: // the head of the file
		case line == "\n": // an editor took the space of an empty context line
			h.old += line
			h.new += line
		case line[0] == ' ':
			h.old += line[1:]
			h.new += line[1:]
		case line[0] == '-':
			h.old += line[1:]
		case line[0] == '+':
			h.new += line[1:]
		default:
			return nil, fmt.Errorf("unknown line %q", line)
		}
	}
	if len(hunks) == 0 {
		return nil, fmt.Errorf("no hunks")
	}
	return hunks, nil
}

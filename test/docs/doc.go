// Package docs proves what the documents say: it runs their commands and compares what is printed, follows their links, restores with
// the shell script that they show, and checks the test vectors of the format with tools that are not ours.
package docs

// Package deploy has what the server is deployed with: an image, a unit of systemd and
// configurations of proxies, which its tests try with the real programs. Package
// release makes the archives of a release. docs/OPERATING.md shows how they are used.
package deploy

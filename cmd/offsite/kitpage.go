package main

import (
	"bytes"
	"encoding/base64"
	"html/template"

	"rsc.io/qr"
)

// page is the recovery kit for a printer: one file that asks nothing of a network. The text of the kit, which is input for the program,
// is on it whole; the secret key is a QR code too, since nobody types it without a mistake.
func (k *kit) page(text []byte, day string) ([]byte, error) {
	p := struct {
		Host, Day, Secret, Text string
		Recipients              []string
		Code                    template.URL
	}{Host: k.host, Day: day, Secret: k.secret, Text: string(text), Recipients: k.recipients}
	if k.secret != "" {
		code, err := qr.Encode(k.secret, qr.M)
		if err != nil {
			return nil, err
		}
		p.Code = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG()))
	}
	var b bytes.Buffer
	err := kitPageTemplate.Execute(&b, p)
	return b.Bytes(), err
}

var kitPageTemplate = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Recovery kit of {{.Host}}</title>
<style>
  body { font: 11pt/1.45 Georgia, serif; color: #000; background: #fff; max-width: 18cm; margin: 1cm auto; }
  h1 { font-size: 17pt; margin: 0 0 .2em; }
  .warning { border: 2px solid #000; padding: .5em .8em; margin: 1em 0; }
  .key { display: flex; gap: 6mm; align-items: center; margin: 1em 0; break-inside: avoid; }
  .key img { width: 42mm; height: 42mm; image-rendering: pixelated; }
  code, pre { font: 9pt/1.35 "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
  .key code { font-size: 11pt; }
  pre { white-space: pre-wrap; border-top: 1px solid #000; padding-top: .8em; }
  .copies { margin-top: 1.2em; }
  @page { margin: 1.5cm; }
  @media print { body { margin: 0; max-width: none; } }
</style>
</head>
<body>
<h1>Recovery kit of {{.Host}}</h1>
<p>Made on {{.Day}} by <code>offsite init</code>.</p>
<p class="warning"><b>Whoever has this can read every backup of {{.Host}}{{if .Secret}}. Without it, nobody can{{else}}, with one of the secret keys{{end}}.</b>
Keep it off the host, in two places, and remove the files from the host once it is printed.</p>
{{if .Secret}}
<div class="key">
<img alt="QR code of the secret key" src="{{.Code}}">
<div>The secret key that opens the backups, also as a QR code:<br><code>{{.Secret}}</code></div>
</div>
{{else}}
<p>The backups open with the secret keys of these, which are kept elsewhere:</p>
<ul>{{range .Recipients}}<li><code>{{.}}</code></li>{{end}}</ul>
{{end}}
<p class="copies">Copies lie at: ______________________________ and ______________________________</p>
<pre>{{.Text}}</pre>
</body>
</html>
`))

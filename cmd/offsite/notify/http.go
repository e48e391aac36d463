package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// patience is how long one call may take in all. What is sent is small, so that no slow line needs more.
const patience = time.Minute

// CheckAddress says what is wrong with the address of a webhook or a ping. Its error does not show it.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("is not an address; write one such as https://example.org/hook")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("is not encrypted: whoever reads along could silence or forge what is told; write https:// (http:// is for this host itself, such as http://127.0.0.1:8080)")
	}
	return nil
}

// loopback says whether a host is this one, by its name alone.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// caller makes calls over HTTP: no redirect is followed, since it would carry what is signed or secret elsewhere, and no connection kept.
func caller() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 20 * time.Second}).DialContext,
			TLSHandshakeTimeout:    20 * time.Second,
			ResponseHeaderTimeout:  30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
			ForceAttemptHTTP2:      true,
		},
	}
}

// post sends a body; 2xx is success. The secrets are in no error.
func post(ctx context.Context, client *http.Client, address string, secrets *scrubber, header http.Header, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return secrets.error(err)
	}
	req.Header = header
	answer, err := client.Do(req)
	if err != nil {
		if late := new(net.Error); errors.As(err, late) && (*late).Timeout() {
			err = context.DeadlineExceeded
		}
		if outer := new(url.Error); errors.As(err, &outer) {
			err = outer.Err // it has the address, and no more
		}
		return secrets.error(err)
	}
	defer answer.Body.Close()
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return fmt.Errorf("answers %d, a redirect, which is not followed; write the address that it leads to", code)
	}
	words, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // what came of them
	if len(words) == 0 {
		return fmt.Errorf("answers %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	return fmt.Errorf("answers %d %s: %s", answer.StatusCode, http.StatusText(answer.StatusCode), secrets.text(string(words)))
}

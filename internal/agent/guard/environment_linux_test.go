package guard

import (
	"slices"
	"testing"
)

func TestAppEnvironment(t *testing.T) {
	got := appEnvironment([]string{
		"HOME=/home/ann", "PATH=/usr/bin", "LC_TIME=de_DE", "XDG_RUNTIME_DIR=/run/user/1", "DISPLAY=:0", "KRB5CCNAME=FILE:/tmp/krb5",
		"LEASEHOLD_TOKEN=secret", "AWS_SECRET_ACCESS_KEY=secret", "SSH_AUTH_SOCK=/tmp/agent", "GITHUB_TOKEN=secret", "PGPASSWORD=secret",
		"LD_PRELOAD=/tmp/x.so", "HOMEPAGE_PASSWORD=secret", "path=/not/on/unix", "no equals sign",
		"http_proxy=http://proxy.example:3128", "https_proxy=http://ann:secret@proxy.example:3128", "HTTPS_PROXY=ann:secret@proxy.example:3128",
		"no_proxy=localhost",
	})
	want := []string{"HOME=/home/ann", "PATH=/usr/bin", "LC_TIME=de_DE", "XDG_RUNTIME_DIR=/run/user/1", "DISPLAY=:0", "KRB5CCNAME=FILE:/tmp/krb5",
		"http_proxy=http://proxy.example:3128", "no_proxy=localhost"}
	if !slices.Equal(got, want) {
		t.Errorf("an app gets %q, want %q", got, want)
	}
}

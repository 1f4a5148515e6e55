package letter

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

func TestBlobOverflowStoresAndLinks(t *testing.T) {
	stored := map[string]string{}
	refuse := false
	blobs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || refuse {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		stored[r.URL.Path] = string(body)
		w.WriteHeader(http.StatusCreated)
	}))
	defer blobs.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	o, err := NewBlobOverflow(blobs.URL+"/errors", nil, policy.ClientOptions{
		Transport: &http.Client{Transport: transport}, Retry: policy.RetryOptions{MaxRetries: -1}, InsecureAllowCredentialWithHTTP: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	url, err := o.Put(t.Context(), "execution-errors/x.txt", []byte("all of them"))
	if err != nil || url != blobs.URL+"/errors/execution-errors/x.txt" || stored["/errors/execution-errors/x.txt"] != "all of them" {
		t.Fatalf("%q %v %v", url, err, stored)
	}
	refuse = true
	if _, err := o.Put(t.Context(), "y", nil); err == nil {
		t.Fatal("a refused blob is no error")
	}
	for _, bad := range []string{"https://acct.blob.core.windows.net/errors?sv=1&sig=S3CR3T", "https://me:S3CR3T@acct.blob.core.windows.net/errors", "https://h\x7f/?S3CR3T"} {
		if _, err := NewBlobOverflow(bad, nil, policy.ClientOptions{}); err == nil || strings.Contains(err.Error(), "S3CR3T") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

package outbound

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// A BlobStore keeps exports that are too large for a message in one container of Blob Storage.
type BlobStore struct {
	container string
	cred      azcore.TokenCredential
	options   *blockblob.ClientOptions
}

// NewBlobStore returns a store in a container (https://account.blob.core.windows.net/name). transport may be nil.
func NewBlobStore(container string, cred azcore.TokenCredential, transport policy.Transporter) *BlobStore {
	return &BlobStore{
		container: strings.TrimSuffix(container, "/"), cred: cred,
		options: &blockblob.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: transport}},
	}
}

// Upload streams body into a blob, replacing what is there: the same export comes under the same name again. It gives
// the blob's address without any signature: readers use their own identity.
func (s *BlobStore) Upload(ctx context.Context, name string, body io.Reader) (string, error) {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	address := s.container + "/" + strings.Join(parts, "/")
	c, err := blockblob.NewClient(address, s.cred, s.options)
	if err != nil {
		return "", fmt.Errorf("store %s: %w", name, err)
	}
	const block = 4 << 20 // two blocks of it in memory
	if _, err := c.UploadStream(ctx, body, &blockblob.UploadStreamOptions{BlockSize: block, Concurrency: 2}); err != nil {
		return "", fmt.Errorf("store %s: %w", name, err)
	}
	return address, nil
}

package letter

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// A BlobOverflow keeps long execution errors as text blobs in one container of Blob Storage.
type BlobOverflow struct {
	container *container.Client
	address   *url.URL
}

// NewBlobOverflow returns an overflow for the container at containerURL (https://ACCOUNT.blob.core.windows.net/NAME).
// A nil credential means anonymous access, which only an emulator grants. An address with a query is refused: a
// signature would end up in the configuration and in every dead letter.
func NewBlobOverflow(
	containerURL string, credential azcore.TokenCredential, options policy.ClientOptions,
) (*BlobOverflow, error) {
	u, err := url.Parse(containerURL)
	if err != nil {
		return nil, errors.New("overflow container: not an address") // the reason would quote it, signature and all
	}
	if u.RawQuery != "" || u.User != nil {
		return nil, errors.New("overflow container: the address must not carry a signature; give the identity access instead")
	}
	o := &container.ClientOptions{ClientOptions: options}
	var c *container.Client
	if credential == nil {
		c, err = container.NewClientWithNoCredential(containerURL, o)
	} else {
		c, err = container.NewClient(containerURL, credential, o)
	}
	if err != nil {
		return nil, fmt.Errorf("overflow container: %w", err)
	}
	return &BlobOverflow{container: c, address: u}, nil
}

// Put writes the blob, replacing one of the same name, and returns its address.
func (b *BlobOverflow) Put(ctx context.Context, name string, content []byte) (string, error) {
	c := b.container.NewBlockBlobClient(name)
	contentType := "text/plain; charset=utf-8"
	_, err := c.UploadBuffer(ctx, content, &blockblob.UploadBufferOptions{
		HTTPHeaders: &blob.HTTPHeaders{BlobContentType: &contentType},
	})
	if err != nil {
		return "", fmt.Errorf("store execution errors: %w", err)
	}
	return b.address.JoinPath(name).String(), nil // the client would escape the slashes of the name
}

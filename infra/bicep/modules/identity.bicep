metadata name = 'Identity'
metadata description = 'A user-assigned managed identity.'

@description('Required. The name of the identity.')
param name string

@description('Required. The region.')
param location string

@description('Optional. Tags of the identity.')
param tags object = {}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('The resource ID of the identity.')
output resourceId string = identity.id

@description('The name of the identity.')
output name string = identity.name

@description('The object ID, for role assignments.')
output principalId string = identity.properties.principalId

@description('The client ID, for whoever signs in as it and for its registration in F&O.')
output clientId string = identity.properties.clientId

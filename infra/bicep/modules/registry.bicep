metadata name = 'Registry'
metadata description = 'The container registry, and the worker\'s right to pull from it.'

@description('Required. The name of the registry, unique in Azure, letters and digits only.')
@minLength(5)
@maxLength(50)
param name string

@description('Required. The region.')
param location string

@description('Optional. Tags of the registry.')
param tags object = {}

@description('Required. The object ID of the identity that pulls.')
param pullPrincipalId string

resource registry 'Microsoft.ContainerRegistry/registries@2025-04-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: 'Basic'
  }
  properties: {
    adminUserEnabled: false
  }
}

var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: registry
  name: guid(registry.id, pullPrincipalId, acrPull)
  properties: {
    principalId: pullPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: acrPull
  }
}

@description('The host name of the registry.')
output loginServer string = registry.properties.loginServer

@description('The name of the registry.')
output name string = registry.name

metadata name = 'Monitoring'
metadata description = 'The Log Analytics workspace and the Application Insights resource on it.'

@description('Required. The name of the workspace.')
param workspaceName string

@description('Required. The name of the Application Insights resource.')
param applicationInsightsName string

@description('Required. The region.')
param location string

@description('Optional. Tags of the resources.')
param tags object = {}

@description('Optional. Days that logs are kept.')
@minValue(30)
@maxValue(730)
param retentionInDays int = 90

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionInDays
  }
}

// Local authentication stays on: the OpenTelemetry agent of Container Apps signs in with the connection string.
resource applicationInsights 'Microsoft.Insights/components@2020-02-02' = {
  name: applicationInsightsName
  location: location
  tags: tags
  kind: 'other'
  properties: {
    Application_Type: 'other'
    WorkspaceResourceId: workspace.id
  }
}

@description('The resource ID of the workspace.')
output workspaceResourceId string = workspace.id

@description('The name of the Application Insights resource.')
output applicationInsightsName string = applicationInsights.name

metadata name = 'Container Apps environment'
metadata description = 'Where the worker runs: logs to Log Analytics without a shared key, and the managed OpenTelemetry agent.'

@description('Required. The name of the environment.')
param name string

@description('Required. The region.')
param location string

@description('Optional. Tags of the environment.')
param tags object = {}

@description('Required. The resource ID of the Log Analytics workspace.')
param workspaceResourceId string

@description('Optional. The Application Insights resource that takes traces and logs from the agent; empty for none.')
param applicationInsightsName string = ''

@description('Optional. An OTLP endpoint (gRPC) that takes traces, metrics and logs from the agent instead; empty for none.')
param otlpEndpoint string = ''

@description('Optional. The subnet of the environment; empty for a network of its own. Private endpoints need one.')
param subnetResourceId string = ''

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = if (!empty(applicationInsightsName)) {
  name: applicationInsightsName
}

var agent = !empty(otlpEndpoint) ? 'collector' : !empty(applicationInsightsName) ? 'appInsights' : ''

// A preview version: no stable one knows the OpenTelemetry agent so far.
resource environment 'Microsoft.App/managedEnvironments@2025-10-02-preview' = {
  name: name
  location: location
  tags: tags
  properties: {
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
    vnetConfiguration: empty(subnetResourceId) ? null : {
      infrastructureSubnetId: subnetResourceId
    }
    appInsightsConfiguration: agent != 'appInsights' ? null : {
      connectionString: applicationInsights!.properties.ConnectionString
    }
    openTelemetryConfiguration: empty(agent) ? null : {
      destinationsConfiguration: agent != 'collector' ? null : {
        otlpConfigurations: [
          {
            name: 'collector'
            endpoint: otlpEndpoint
            insecure: false
          }
        ]
      }
      tracesConfiguration: {
        destinations: [agent]
      }
      logsConfiguration: {
        destinations: [agent]
      }
      // Application Insights takes no metrics from the agent; an OTLP endpoint takes all three signals.
      metricsConfiguration: agent != 'collector' ? null : {
        destinations: [agent]
      }
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: environment
  name: 'log-analytics'
  properties: {
    workspaceId: workspaceResourceId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

@description('The resource ID of the environment.')
output resourceId string = environment.id

@description('What the agent takes from the worker: nothing, "traces,logs" or "traces,metrics,logs".')
output signals string = empty(agent) ? '' : agent == 'collector' ? 'traces,metrics,logs' : 'traces,logs'

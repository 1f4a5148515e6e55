// Package userconfig reads the configuration file of Microsoft's own Service Bus emulator (Config.json), so that one
// that exists works unchanged.
//
// It is strict: a property that is not known, a value of the wrong type and a value out of range are errors, all of
// them are found in one go, and each says where it is. What other tools write into such files and that emulator passes
// over (ClientAffineProperties, CompatibilityLevel, a namespace's Properties and the like) is passed over here too. As
// there, names are compared without regard to case.
//
// A property that is left out has the default of that emulator, which is not always Azure's: a time to live of one
// hour, 3 deliveries, a duplicate window of 20 seconds. Its limits (50 entities, a time to live of at most an hour) are
// not enforced; those of package entity are.
//
// Two additions are ours: AuthorizationRules on a namespace, a list of {"Name", "Key", "Rights"}, in place of the
// well-known root key, and Faults on the namespace, on UserConfig or on the outermost object.
//
// Source: Azure/azure-service-bus-emulator-installer, ServiceBus-Emulator/Schema/Config-schema.json.
package userconfig

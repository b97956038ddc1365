"""The gRPC services: Chat, Rooms, Health and Reflection."""

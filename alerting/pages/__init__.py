"""The pages about alerting: the map, subscriptions, channels, notifications, the way out."""

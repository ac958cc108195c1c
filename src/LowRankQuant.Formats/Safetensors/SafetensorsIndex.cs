using System.Text.Json;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>The index of a sharded checkpoint: which file holds which tensor.</summary>
public static class SafetensorsIndex
{
    private const string Map = "weight_map";

    // The largest public indices have some 100,000 tensors and 10 MB.
    private const long LargestFile = SafetensorsHeader.MaxLength;

    /// <summary>Reads an index: tensor to file name, every name one of a plain file in the same folder.</summary>
    /// <exception cref="CheckpointFormatException">No sound JSON, or no map from tensors to files (<c>index-schema</c>, <c>path</c>).</exception>
    public static Dictionary<string, string> Read(string path)
    {
        CheckpointFormatException Schema(string? key, string message) => new("index-schema", path, key, message);
        using JsonDocument document = JsonFile.Parse(path, LargestFile, kind: "index-schema");
        JsonElement root = document.RootElement;
        if (root.ValueKind != JsonValueKind.Object) throw Schema(null, $"the index is {JsonFile.Name(root.ValueKind)}; it must be an object.");
        if (!root.TryGetProperty(Map, out JsonElement entries)) throw Schema(Map, "the key is missing.");
        if (entries.ValueKind != JsonValueKind.Object) throw Schema(Map, $"is {JsonFile.Name(entries.ValueKind)}; it must be an object from tensor to file.");
        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (JsonProperty entry in entries.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.String) throw Schema(entry.Name, "the file of a tensor must be a string.");
            string shard = entry.Value.GetString()!;
            CheckShardName(path, entry.Name, shard);
            map.Add(entry.Name, shard);
        }
        return map;
    }

    // Both separators are refused on every system: a folder must mean the same wherever it is copied.
    private static void CheckShardName(string indexPath, string tensor, string shard)
    {
        bool bad = shard.Length is 0 or > 255 || Path.IsPathRooted(shard) || shard is "." or ".."
            || shard.AsSpan().ContainsAny('/', '\\', ':') || shard.AsSpan().ContainsAnyInRange('\0', '\x1f');
        if (bad) throw new CheckpointFormatException("path", indexPath, tensor, $"shard '{shard}' must be a plain file name in the same folder.");
    }
}

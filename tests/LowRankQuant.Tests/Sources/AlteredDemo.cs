using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Tests.Sources;

/// <summary>A tensor as it is stored.</summary>
internal sealed record StoredTensor(SafetensorsType Type, long[] Shape, byte[] Bytes);

/// <summary>Copies of the demo with other tensors and another configuration.</summary>
internal static class AlteredDemo
{
    /// <summary>Writes a copy and returns its folder.</summary>
    /// <param name="folder">Where it goes.</param>
    /// <param name="name">Name of the copy.</param>
    /// <param name="tensors">Changes the tensors.</param>
    /// <param name="config">Changes config.json.</param>
    public static string Create(TemporaryFolder folder, string name, Action<Dictionary<string, StoredTensor>>? tensors = null, Action<JsonObject>? config = null)
    {
        string path = folder.File(name), configFile = Path.Combine(path, "config.json"), model = Path.Combine(path, "model.safetensors");
        Directory.CreateDirectory(path);
        foreach (string file in Directory.GetFiles(TestData.Demo)) File.Copy(file, Path.Combine(path, Path.GetFileName(file)));
        if (config is not null)
        {
            JsonObject json = JsonNode.Parse(File.ReadAllText(configFile))!.AsObject();
            config(json);
            File.WriteAllText(configFile, json.ToJsonString());
        }
        if (tensors is null) return path;
        Dictionary<string, StoredTensor> all = Read(model);
        tensors(all);
        File.Delete(model);
        Write(model, all);
        return path;
    }

    /// <summary>The tensors of a file.</summary>
    public static Dictionary<string, StoredTensor> Read(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        return file.Tensors.Values.ToDictionary(
            entry => entry.Name, entry => new StoredTensor(entry.Type, entry.Shape, file.GetBytes(entry.Name, 0, (int)entry.ByteLength).ToArray()), StringComparer.Ordinal);
    }

    /// <summary>Writes a file.</summary>
    public static void Write(string path, Dictionary<string, StoredTensor> tensors) => SafetensorsWriter.Write(
        path, [.. tensors.Select(tensor => PendingTensor.FromBytes(tensor.Key, tensor.Value.Type, tensor.Value.Shape, tensor.Value.Bytes))]);

    /// <summary>Gives every tensor another name.</summary>
    public static Action<Dictionary<string, StoredTensor>> Renamed(Func<string, string> rename) => tensors =>
    {
        foreach ((string name, StoredTensor tensor) in tensors.ToArray())
        {
            tensors.Remove(name);
            tensors.Add(rename(name), tensor);
        }
    };

    /// <summary>config.json of a folder.</summary>
    public static JsonObject Config(string folder) => JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!.AsObject();
}

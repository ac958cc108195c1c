using System.Text.Json.Nodes;

namespace LowRankQuant.Tests;

/// <summary>Copies of the demo model with other side files.</summary>
internal static class DemoCopy
{
    /// <summary>Copies it into a folder of this name.</summary>
    public static string Create(TemporaryFolder folder, string name)
    {
        string path = folder.File(name);
        Directory.CreateDirectory(path);
        foreach (string file in new[] { "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json" })
            File.Copy(Path.Combine(TestData.Demo, file), Path.Combine(path, file));
        return path;
    }

    /// <summary>Changes a JSON file of a folder; it is made when absent.</summary>
    public static void Edit(string folder, string file, Action<JsonObject> edit)
    {
        string path = Path.Combine(folder, file);
        JsonObject json = File.Exists(path) ? JsonNode.Parse(File.ReadAllText(path))!.AsObject() : [];
        edit(json);
        File.WriteAllText(path, json.ToJsonString());
    }
}

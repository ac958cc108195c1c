using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Unicode;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>config.json of a Hugging Face folder.</summary>
internal static class ModelConfigFile
{
    /// <summary>Its name.</summary>
    public const string Name = "config.json";

    /// <summary>Where GPTQ and AWQ repeat their part of it.</summary>
    public const string QuantizeName = "quantize_config.json";

    // Beyond any real configuration; keeps a hostile file from being read whole.
    private const long Largest = 16 << 20;

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Reads a file.</summary>
    /// <exception cref="CheckpointException">It is absent, too long or no JSON object.</exception>
    public static JsonObject Read(string file)
    {
        var info = new FileInfo(file);
        if (!info.Exists) throw new CheckpointException($"{file} does not exist; a Hugging Face folder holds config.json beside its safetensors files.");
        if (info.Length > Largest) throw new CheckpointException($"{file} has {info.Length} bytes; a configuration has at most {Largest}.");
        byte[] bytes = File.ReadAllBytes(file);
        if (!Utf8.IsValid(bytes)) throw new CheckpointException($"{file}: not valid UTF-8.");
        try
        {
            JsonNode? node = JsonNode.Parse(bytes, documentOptions: new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            // Nodes are made when they are looked at; an escaped lone surrogate must be found now.
            return node?.DeepClone() as JsonObject ?? throw new CheckpointException($"{file}: the top level must be a JSON object.");
        }
        catch (Exception bad) when (bad is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{file}: not valid JSON: {bad.Message}", bad);
        }
    }

    /// <summary>Writes a JSON file of a model's folder.</summary>
    public static void Write(string file, JsonObject json) => File.WriteAllText(file, json.ToJsonString(Indented) + "\n");

    /// <summary>A source's configuration for tensors of another type: its <c>dtype</c> is that type, and nothing says that it is quantized.</summary>
    public static JsonObject For(ICheckpoint source, SafetensorsType type)
    {
        var config = (JsonObject)source.HuggingFaceConfig.DeepClone();
        string name = type switch { SafetensorsType.F16 => "float16", SafetensorsType.BF16 => "bfloat16", _ => "float32" };
        // transformers 5 calls it dtype; whichever is there is what its readers look at.
        if (config.ContainsKey("dtype")) config["dtype"] = name;
        if (!config.ContainsKey("dtype") || config.ContainsKey("torch_dtype")) config["torch_dtype"] = name;
        foreach (string key in new[] { "quantization_config", "compression_config", Formats.Mlx.MlxConfig.Key }) config.Remove(key);
        return config;
    }
}

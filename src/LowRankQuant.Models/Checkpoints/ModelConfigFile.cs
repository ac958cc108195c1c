using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>config.json of a Hugging Face folder.</summary>
public static class ModelConfigFile
{
    /// <summary>Its name.</summary>
    public const string Name = "config.json";

    /// <summary>Where GPTQ and AWQ repeat their part of it.</summary>
    public const string QuantizeName = "quantize_config.json";

    // Beyond any real configuration; keeps a hostile file from being read whole.
    private const long Largest = 16 << 20;

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly string[] TypeKeys = ["dtype", "torch_dtype"];

    /// <summary>Keys of config.json by which a model says that it is quantized; none of them is true of what is written from it.</summary>
    private static readonly string[] QuantizationKeys =
    [
        "quantization_config", "compression_config", Formats.Mlx.MlxConfig.Key, "quant_config", "quantize_config", "quantization_bit", "sparsity_config",
        "_pre_quantization_dtype",
    ];

    /// <summary>Reads a file.</summary>
    /// <exception cref="CheckpointException">It is absent.</exception>
    /// <exception cref="CheckpointFormatException">It is too long or no JSON object.</exception>
    public static JsonObject Read(string file)
    {
        if (!Path.Exists(file)) throw new CheckpointException($"{file} does not exist; a Hugging Face folder holds config.json beside its safetensors files.");
        return JsonFile.ReadObject(file, Largest, depth: 32);
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
        // The text model of a multimodal one may have a type of its own; the other parts keep theirs.
        JsonObject text = Families.Catalog.ModelFamilies.TextPart(config);
        foreach (string key in TypeKeys.Where(text.ContainsKey)) text[key] = name;
        foreach (string key in QuantizationKeys) config.Remove(key);
        return config;
    }
}

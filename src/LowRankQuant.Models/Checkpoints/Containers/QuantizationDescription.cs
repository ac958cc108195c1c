using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.AutoRound;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>
/// How a folder says that it is quantized: <c>quantization_config</c> of config.json, or a file of its own as older tools write it. Spellings of methods and
/// keys are brought to one.
/// </summary>
/// <param name="File">File that says it, for messages.</param>
/// <param name="Method">The method in its usual spelling; null where the file names none.</param>
/// <param name="Json">The object, with the keys of today.</param>
internal sealed record QuantizationDescription(string File, string? Method, JsonObject Json)
{
    private const string MethodKey = "quant_method", Packing = "packing_format";

    // AutoGPTQ and gptqmodel; AutoAWQ; auto-round.
    private static readonly string[] OwnFiles = [ModelConfigFile.QuantizeName, "quant_config.json", "quantization_config.json"];

    // Keys that decide what the numbers mean and that no tensor's shape or values give away.
    private static readonly string[] Deciding = ["checkpoint_format", "zero_point", "version"];

    private static readonly (string Old, string Key)[] OlderKeys = [("w_bit", "bits"), ("wbits", "bits"), ("q_group_size", "group_size"), ("groupsize", "group_size")];

    private static readonly string[] CodeNames = [GptqReader.Codes, AwqReader.Codes];

    /// <summary>Finds the description.</summary>
    /// <param name="config">config.json.</param>
    /// <param name="folder">The model's folder.</param>
    /// <param name="tensors">Its tensors.</param>
    /// <returns>The description; null for a model in plain floats.</returns>
    /// <exception cref="CheckpointException">Two files contradict each other.</exception>
    /// <exception cref="CheckpointFormatException">A file is no sound JSON object.</exception>
    public static QuantizationDescription? Find(JsonObject config, string folder, SafetensorsFolder tensors)
    {
        QuantizationDescription? main = null;
        foreach (string key in new[] { "quantization_config", "compression_config" })
        {
            if (main is null && config[key] is JsonObject json) main = Of(Path.Combine(folder, ModelConfigFile.Name), (JsonObject)json.DeepClone());
        }
        // A file that a converted model kept says nothing about plain floats.
        if (!tensors.Names.Any(name => CodeNames.Any(end => name.EndsWith(end, StringComparison.Ordinal)))) return main;
        foreach (string name in OwnFiles)
        {
            string file = Path.Combine(folder, name);
            if (!System.IO.File.Exists(file)) continue;
            QuantizationDescription own = Of(file, JsonFile.ReadObject(file));
            main = main is null ? own : main.With(own);
        }
        return main is null ? null : main with { Method = main.Method ?? main.Guess() };
    }

    private static QuantizationDescription Of(string file, JsonObject json)
    {
        foreach ((string old, string key) in OlderKeys)
        {
            if (json[old] is not { } value) continue;
            json.Remove(old);
            json[key] ??= value;
        }
        string? method = json[MethodKey] is JsonValue named && named.TryGetValue(out string? text) ? text : null;
        if (method is null && json["is_marlin_format"] is JsonValue marlin && marlin.TryGetValue(out bool isMarlin) && isMarlin) method = "marlin";
        method = method is null ? null : Usual(method, json);
        if (method is not null) json[MethodKey] = method;
        return new QuantizationDescription(file, method, json);
    }

    // intel/auto-round, auto_round:auto_gptq, GPTQ, gptq_v2, gptqmodel, awq_marlin, compressed_tensors.
    private static string Usual(string spelling, JsonObject json)
    {
        string name = spelling.Trim().ToLowerInvariant();
        if (name.StartsWith("intel/", StringComparison.Ordinal)) name = name["intel/".Length..];
        string[] parts = name.Split(':', 2);
        string first = parts[0].Replace('_', '-');
        if (first is "auto-round" or "autoround")
        {
            if (parts.Length > 1 && json[Packing] is null) json[Packing] = $"auto_round:{parts[1]}";
            return AutoRoundConfig.QuantMethod;
        }
        switch (first)
        {
            case "gptq" or "auto-gptq" or "autogptq" or "gptqmodel" or "gptq-marlin":
                return GptqConfig.QuantMethod;
            case "gptq-v2":
                json["checkpoint_format"] ??= GptqConfig.V2;
                return GptqConfig.QuantMethod;
            case "awq" or "auto-awq" or "autoawq" or "awq-marlin":
                return AwqConfig.QuantMethod;
            case CompressedTensorsConfig.QuantMethod or "sparseml":
                return CompressedTensorsConfig.QuantMethod;
            default:
                return spelling;
        }
    }

    // AutoAWQ's files have version and zero_point, AutoGPTQ's neither; a file of old compressed-tensors has its groups.
    private string Guess() => Json.ContainsKey("config_groups") ? CompressedTensorsConfig.QuantMethod
        : Json.ContainsKey("zero_point") || Path.GetFileName(File) == OwnFiles[1] ? AwqConfig.QuantMethod
        : GptqConfig.QuantMethod;

    // What one file leaves out the other may say. Where both speak config.json counts, but for what would go unnoticed.
    private QuantizationDescription With(QuantizationDescription other)
    {
        foreach (string key in Deciding)
        {
            if (Json[key] is { } mine && other.Json[key] is { } theirs && !string.Equals(mine.ToJsonString(), theirs.ToJsonString(), StringComparison.OrdinalIgnoreCase))
            {
                throw new CheckpointException(
                    $"{other.File}: {key} is {theirs.ToJsonString()}, and {File} says {mine.ToJsonString()}; make them agree, or remove the file that is wrong.");
            }
        }
        foreach ((string key, JsonNode? value) in other.Json)
        {
            if (!Json.ContainsKey(key)) Json[key] = value?.DeepClone();
        }
        return this with { Method = Method ?? other.Method };
    }
}

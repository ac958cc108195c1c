using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.AutoRound;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Mlx;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>Finds the container of a Hugging Face folder by its config.json.</summary>
internal static class ContainerOpener
{
    private delegate QuantizedContainer Opener(JsonElement config, string file, SafetensorsFolder tensors);

    private static readonly SortedDictionary<string, Opener> ByMethod = new(StringComparer.Ordinal)
    {
        [CompressedTensorsConfig.QuantMethod] = CompressedTensorsContainer.Open,
        [GptqConfig.QuantMethod] = GptqContainer.Open,
        [AwqConfig.QuantMethod] = AwqContainer.Open,
        [AutoRoundConfig.QuantMethod] = OpenAutoRound,
        [TwoLevelConfig.QuantMethod] = TwoLevelContainer.Open,
    };

    /// <summary>Opens the container.</summary>
    /// <param name="config">config.json.</param>
    /// <param name="file">Its path, for messages.</param>
    /// <param name="tensors">The folder's tensors.</param>
    /// <returns>The container; null for a model in plain floats.</returns>
    /// <exception cref="UnsupportedModelException">Another quantization method.</exception>
    /// <exception cref="Formats.CheckpointFormatException">An unsound configuration.</exception>
    public static QuantizedContainer? Open(JsonObject config, string file, SafetensorsFolder tensors)
    {
        // MLX writes its object under two keys and gives it no method.
        if (config[MlxConfig.Key] is JsonObject mlx) return MlxContainer.Open(Element(mlx), file, tensors);
        if (config["quantization_config"] is not JsonObject quantization) return null;
        string? method = (quantization["quant_method"] as JsonValue)?.TryGetValue(out string? text) == true ? text : null;
        return method is not null && ByMethod.TryGetValue(method, out Opener? open)
            ? open(Element(quantization), file, tensors)
            : throw new UnsupportedModelException(
                $"{file}: quantization_config.quant_method '{method}' is not supported; supported are {string.Join(", ", ByMethod.Keys)} and MLX.");
    }

    private static QuantizedContainer OpenAutoRound(JsonElement config, string file, SafetensorsFolder tensors)
    {
        AutoRoundConfig layout = AutoRoundConfig.Parse(config, file);
        return layout.Gptq is { } gptq
            ? new GptqContainer(tensors, AutoRoundConfig.QuantMethod, gptq)
            : new AwqContainer(tensors, AutoRoundConfig.QuantMethod, layout.Awq!);
    }

    private static JsonElement Element(JsonObject json)
    {
        using JsonDocument document = JsonDocument.Parse(json.ToJsonString());
        return document.RootElement.Clone();
    }
}

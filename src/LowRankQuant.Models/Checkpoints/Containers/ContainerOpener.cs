using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Affine;
using LowRankQuant.Formats.AutoRound;
using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Mlx;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>Finds the container of a Hugging Face folder by what its files say of it.</summary>
internal static class ContainerOpener
{
    private delegate QuantizedContainer? Opener(JsonElement config, string file, SafetensorsFolder tensors);

    private static readonly SortedDictionary<string, Opener> ByMethod = new(StringComparer.Ordinal)
    {
        [CompressedTensorsConfig.QuantMethod] = CompressedTensorsContainer.Open,
        [GptqConfig.QuantMethod] = GptqContainer.Open,
        [AwqConfig.QuantMethod] = AwqContainer.Open,
        [AutoRoundConfig.QuantMethod] = OpenAutoRound,
        [TwoLevelConfig.QuantMethod] = TwoLevelContainer.Open,
        [AffineConfig.QuantMethod] = OpenAffine,
        ["fp8"] = Float8Container.Open,
        ["fbgemm_fp8"] = Float8Container.Open,
    };

    /// <summary>Opens the container.</summary>
    /// <param name="config">config.json.</param>
    /// <param name="folder">Its folder.</param>
    /// <param name="tensors">The folder's tensors.</param>
    /// <returns>The container; null for a model in plain floats.</returns>
    /// <exception cref="UnsupportedModelException">Another quantization method.</exception>
    /// <exception cref="CheckpointException">Two files contradict each other, or a stored tensor is none of the container's.</exception>
    /// <exception cref="CheckpointFormatException">An unsound configuration, or scales without a meaning.</exception>
    public static QuantizedContainer? Open(JsonObject config, string folder, SafetensorsFolder tensors)
    {
        QuantizedContainer? container = Find(config, folder, tensors);
        if (container is null) return null;
        foreach (string name in tensors.Names)
        {
            if (!container.Owns(name) || container.Knows(name)) continue;
            throw new CheckpointException(
                $"{tensors.Location}: tensor '{name}' is none that {container.Name} stores of a linear; " +
                "without it the weight could be another. Remove it if it is not needed.");
        }
        return container;
    }

    private static QuantizedContainer? Find(JsonObject config, string folder, SafetensorsFolder tensors)
    {
        string file = Path.Combine(folder, ModelConfigFile.Name);
        // MLX writes its object under two keys and gives it no method.
        if (config[MlxConfig.Key] is JsonObject mlx) return MlxContainer.Open(Element(mlx), file, tensors);
        if (QuantizationDescription.Find(config, folder, tensors) is not { } description) return Float8Container.WithoutConfiguration(tensors);
        // Experts of gpt-oss: their family reads them as it reads other forms of storing experts.
        if (description.Method == "mxfp4") return null;
        return description.Method is { } method && ByMethod.TryGetValue(method, out Opener? open)
            ? open(Element(description.Json), description.File, tensors)
            : throw new UnsupportedModelException(
                $"{description.File}: quantization_config.quant_method '{description.Method ?? "(absent)"}' is not supported; " +
                $"supported are {string.Join(", ", ByMethod.Keys)} and MLX.");
    }

    private static QuantizedContainer OpenAutoRound(JsonElement config, string file, SafetensorsFolder tensors)
    {
        AutoRoundConfig layout = AutoRoundConfig.Parse(config, file);
        return layout.Gptq is { } gptq
            ? new GptqContainer(tensors, AutoRoundConfig.QuantMethod, gptq)
            : new AwqContainer(tensors, AutoRoundConfig.QuantMethod, layout.Awq!);
    }

    private static AffineContainer OpenAffine(JsonElement config, string file, SafetensorsFolder tensors) => AffineContainer.Open(config, file, tensors, others =>
        others.TryGetProperty("quant_method", out JsonElement method) && method.ValueKind == JsonValueKind.String && method.GetString() is CompressedTensorsConfig.QuantMethod or TwoLevelConfig.QuantMethod
            ? ByMethod[method.GetString()!](others, file, tensors)
            : throw new CheckpointFormatException("config-schema", file, "quantization_config.others", $"its quant_method must be {CompressedTensorsConfig.QuantMethod} or {TwoLevelConfig.QuantMethod}."));

    private static JsonElement Element(JsonObject json)
    {
        using JsonDocument document = JsonDocument.Parse(json.ToJsonString());
        return document.RootElement.Clone();
    }
}

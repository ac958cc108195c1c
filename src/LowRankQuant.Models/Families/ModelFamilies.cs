using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Models.Families;

/// <summary>All supported architectures.</summary>
public static class ModelFamilies
{
    private static readonly IModelFamily[] All =
    [
        new LlamaFamily(), new MistralFamily(), new QwenFamily(), new GemmaFamily(), new Phi3Family(), new PhiFamily(), new OptFamily(), new Gpt2Family(),
        new GptNeoxFamily(), new BloomFamily(), new FalconFamily(), new MixtralFamily(), new QwenMoeFamily(), new OlmoFamily(), new Starcoder2Family(),
        new GraniteFamily(), new SmolLm3Family(), new StableLmFamily(), new CohereFamily(), new GptOssFamily(), new Glm4Family(), new Llama4Family(),
        new MiniMaxFamily(), new Exaone4Family(), new LlamaLikeFamily(), new ErnieMoeFamily(), new PhiMoeFamily(), new NemotronFamily(), new ApertusFamily(),
        new GptJFamily(), new MptFamily(), new MimoFamily(), new PersimmonFamily(), new DbrxFamily(), new Gemma4Family(),
    ];

    /// <summary>The families, in the order in which they are listed.</summary>
    public static IReadOnlyList<IModelFamily> Known => All;

    /// <summary>The family of a <c>model_type</c>.</summary>
    /// <param name="modelType">The value in config.json.</param>
    /// <param name="file">Its file, for the message.</param>
    /// <exception cref="UnsupportedModelException">No family serves it.</exception>
    public static IModelFamily For(string? modelType, string file)
    {
        foreach (IModelFamily family in All)
        {
            if (modelType is not null && family.ModelTypes.Contains(modelType)) return family;
        }
        string supported = string.Join(", ", All.SelectMany(family => family.ModelTypes));
        throw new UnsupportedModelException($"{file}: model_type '{modelType ?? "(absent)"}' is not supported; supported are {supported}.");
    }

    /// <summary>What the family of a configuration makes of it.</summary>
    /// <param name="json">config.json, or what stands for it.</param>
    /// <param name="file">Its file, for messages.</param>
    /// <exception cref="UnsupportedModelException">No family serves it, or it asks for something that the family does not have.</exception>
    /// <exception cref="CheckpointException">A value is absent or unsound.</exception>
    public static Architecture Read(JsonObject json, string file)
    {
        string? modelType = json["model_type"] is JsonValue value && value.TryGetValue(out string? text) ? text : null;
        IModelFamily family = For(modelType, file);
        return family.TextKey is { } key && json[key] is JsonObject nested
            ? Read(family, new ConfigReader(nested, $"{file}: {key}", json)) with { IsPart = true }
            : Read(family, new ConfigReader(json, file));
    }

    /// <summary>The architecture that a GGUF file is of.</summary>
    /// <param name="name">Its <c>general.architecture</c>.</param>
    /// <param name="file">The file.</param>
    /// <exception cref="UnsupportedModelException">No family has it.</exception>
    internal static GgufArchitecture ForGguf(string name, GgufFile file)
    {
        var reading = new GgufReading(file, name);
        GgufArchitecture[] known = [.. All.SelectMany(family => family.Gguf)];
        return known.FirstOrDefault(architecture => architecture.Name == name && architecture.Reads(reading))
            ?? throw new UnsupportedModelException(
                $"{file.Location}: architecture '{name}' is not supported; supported are {string.Join(", ", known.Select(architecture => architecture.Name).Distinct().Order(StringComparer.Ordinal))}.");
    }

    private static Architecture Read(IModelFamily family, ConfigReader reader)
    {
        Architecture read = family.Read(reader);
        string type = reader.ModelType;
        GgufArchitecture? gguf = family.Gguf.FirstOrDefault(
            architecture => (architecture.ModelType == type || architecture.AlsoWrites.Contains(type)) && architecture.Writes(reader));
        return gguf is null ? read : read with { Gguf = new GgufForm(gguf, reader, read) };
    }
}

using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Families.Gpt;
using LowRankQuant.Models.Families.Hybrid;
using LowRankQuant.Models.Families.Latent;
using LowRankQuant.Models.Families.Llama;
using LowRankQuant.Models.Families.Mixtures;

namespace LowRankQuant.Models.Families.Catalog;

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
        new DeepseekV2Family(), new DeepseekV3Family(), new Glm4MoeLiteFamily(), new Mistral4Family(),
        new QwenHybridFamily(), new Lfm2Family(), new Lfm3Family(), new GraniteHybridFamily(), new NemotronHFamily(), new FalconH1Family(), new BambaFamily(), new Mamba2Family(),
        new JambaFamily(), new KimiLinearFamily(),
    ];

    /// <summary>The families, in the order in which they are listed.</summary>
    public static IReadOnlyList<IModelFamily> Known => All;

    /// <summary>Whether a family serves the <c>model_type</c> of a configuration.</summary>
    public static bool Know(JsonObject json) => Find(TypeOf(json)) is not null;

    /// <summary>Whether models of a <c>model_type</c> are read from GGUF files too; from folders all are.</summary>
    public static bool ReadsGguf(string modelType) => Find(modelType)?.Gguf.Any(form => form.ModelType == modelType || form.AlsoWrites.Contains(modelType)) == true;

    /// <summary>What the family of a configuration makes of it.</summary>
    /// <param name="json">config.json, or what stands for it.</param>
    /// <param name="file">Its file, for messages.</param>
    /// <param name="others">Families beside the known ones, which come first.</param>
    /// <exception cref="UnsupportedModelException">No family serves it, or it asks for something that the family does not have.</exception>
    /// <exception cref="CheckpointException">A value is absent or unsound.</exception>
    public static Architecture Read(JsonObject json, string file, IReadOnlyList<IModelFamily>? others = null)
    {
        IModelFamily family = Find(TypeOf(json), others) ?? throw new UnsupportedModelException($"{file}: {UnknownModelType.Describe(json)}. 'lrq families' lists what is supported.");
        JsonObject text = TextPart(json, others);
        return text == json
            ? Read(family, new ConfigReader(json, file))
            : Read(family, new ConfigReader(text, $"{file}: {family.TextKey}", json)) with { IsPart = true };
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

    /// <summary>The part of a configuration that describes the text model: what stands under the family's <see cref="IModelFamily.TextKey"/>, else the whole.</summary>
    /// <param name="json">config.json.</param>
    /// <param name="others">Families beside the known ones.</param>
    public static JsonObject TextPart(JsonObject json, IReadOnlyList<IModelFamily>? others = null) => Find(TypeOf(json), others)?.TextKey is { } key && json[key] is JsonObject nested ? nested : json;

    internal static string? TypeOf(JsonObject json) => json["model_type"] is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    private static IModelFamily? Find(string? modelType, IReadOnlyList<IModelFamily>? others = null) =>
        (others ?? []).Concat(All).FirstOrDefault(family => modelType is not null && family.ModelTypes.Contains(modelType));
}

using System.Text.Json.Nodes;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families;

/// <summary>One architecture: how its config.json reads, how its tensors are called, and how a block is put together.</summary>
public interface IModelFamily
{
    /// <summary>Values of <c>model_type</c> that this family serves.</summary>
    IReadOnlyList<string> ModelTypes { get; }

    /// <summary>Reads and checks a configuration.</summary>
    /// <param name="json">config.json.</param>
    /// <param name="file">Its path, for messages.</param>
    DecoderConfig ReadConfig(JsonObject json, string file);

    /// <summary>Name of the embedding tensor.</summary>
    string EmbeddingName { get; }

    /// <summary>Name of the output head's tensor.</summary>
    string HeadName { get; }

    /// <summary>Names of the tensors of the final norm.</summary>
    string FinalNormName { get; }

    /// <summary>Name of a block, such as <c>model.layers.3</c>.</summary>
    string BlockName(int index);

    /// <summary>Name and shape of every quantizable weight of a block, in slot order, without <c>.weight</c>.</summary>
    IReadOnlyList<(string Name, int OutFeatures, int InFeatures)> Linears(DecoderConfig config);

    /// <summary>Linears that have biases together, by the keys of config.json that say so.</summary>
    IReadOnlyList<BiasGroup> BiasGroups { get; }

    /// <summary>Names of all tensors of a model but its embedding and its output head, in model order.</summary>
    IEnumerable<string> Tensors(DecoderConfig config);

    /// <summary>The block that a tensor belongs to; null for one outside the blocks.</summary>
    int? BlockOf(string tensor);

    /// <summary>Whether a name is one within the model that is computed, and not of a part beside it such as a vision tower or a classifier.</summary>
    bool Owns(string tensor);

    /// <summary>Loads one block.</summary>
    DecoderBlock LoadBlock(ICheckpoint checkpoint, Device device, RopeTables rope, int index);

    /// <summary>Loads the norm in front of the output head.</summary>
    INorm LoadFinalNorm(ICheckpoint checkpoint, Device device);
}

/// <summary>Linears of a block that have biases together.</summary>
/// <param name="Key">Key of config.json.</param>
/// <param name="Linears">Their names within a block.</param>
/// <param name="IsOn">Whether a configuration gives them biases.</param>
/// <param name="TurnOn">The configuration that does.</param>
public sealed record BiasGroup(string Key, IReadOnlyList<string> Linears, Func<DecoderConfig, bool> IsOn, Func<DecoderConfig, DecoderConfig> TurnOn);

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

    /// <summary>Loads one block.</summary>
    DecoderBlock LoadBlock(ICheckpoint checkpoint, Device device, RopeTables rope, int index);

    /// <summary>Loads the norm in front of the output head.</summary>
    INorm LoadFinalNorm(ICheckpoint checkpoint, Device device);
}

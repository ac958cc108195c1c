namespace LowRankQuant.Models.Families;

/// <summary>One architecture: how its config.json reads, how its tensors are called, and how a block is put together.</summary>
public interface IModelFamily
{
    /// <summary>Values of <c>model_type</c> that this family serves.</summary>
    IReadOnlyList<string> ModelTypes { get; }

    /// <summary>Which models these are, in a few words without a full stop.</summary>
    string Description { get; }

    /// <summary>Key of config.json under which the text model of a multimodal one stands; null where the whole file is it.</summary>
    string? TextKey => null;

    /// <summary>What its models are in GGUF, the first that writes a model or reads a file counts; empty where llama.cpp has no such architecture.</summary>
    internal IReadOnlyList<GgufArchitecture> Gguf => [];

    /// <summary>Reads and checks a configuration.</summary>
    internal Architecture Read(ConfigReader config);
}

using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models;

/// <summary>A checkpoint together with what runs it. Nothing is loaded until asked for, and every part is loaded by itself.</summary>
public sealed class CausalModel : IDisposable
{
    private readonly IModelFamily _family;

    /// <summary>Opens a model on a device.</summary>
    /// <param name="checkpoint">The checkpoint; owned from now on.</param>
    /// <param name="device">Where tensors go.</param>
    /// <exception cref="UnsupportedModelException">The architecture is not supported.</exception>
    public CausalModel(ICheckpoint checkpoint, Device device)
    {
        Checkpoint = checkpoint;
        Device = device;
        _family = ModelFamilies.For(checkpoint.Config.ModelType, checkpoint.Location);
        Rope = new RopeTables(device, checkpoint.Config.Rope);
    }

    /// <summary>Where the tensors come from.</summary>
    public ICheckpoint Checkpoint { get; }

    /// <summary>Where tensors go.</summary>
    public Device Device { get; }

    /// <summary>Sizes and choices.</summary>
    public DecoderConfig Config => Checkpoint.Config;

    /// <summary>Angle tables shared by the blocks.</summary>
    public RopeTables Rope { get; }

    /// <summary>Name of the embedding tensor.</summary>
    public string EmbeddingName => _family.EmbeddingName;

    /// <summary>Name of the output head's tensor.</summary>
    public string HeadName => _family.HeadName;

    /// <summary>Name of block <paramref name="index"/>, such as <c>model.layers.3</c>.</summary>
    public string BlockName(int index) => _family.BlockName(index);

    /// <summary>Name and shape of every quantizable weight of a block, in slot order, without <c>.weight</c>.</summary>
    public IReadOnlyList<(string Name, int OutFeatures, int InFeatures)> Linears => _family.Linears(Config);

    /// <summary>
    /// Looks whether every tensor of the model is there in the shape that the configuration asks for: weights, biases and norms of the blocks, the final norm,
    /// embedding and head. Reads no values.
    /// </summary>
    /// <exception cref="CheckpointException">One is absent or has another shape.</exception>
    public void CheckLinears()
    {
        Dictionary<string, (int OutFeatures, int InFeatures)> shapes = Enumerable.Range(0, Config.Layers)
            .SelectMany(block => Linears.Select(linear => ($"{BlockName(block)}.{linear.Name}", linear.OutFeatures, linear.InFeatures)))
            .ToDictionary(linear => linear.Item1, linear => (linear.OutFeatures, linear.InFeatures), StringComparer.Ordinal);
        foreach (string name in _family.Tensors(Config))
        {
            int dot = name.LastIndexOf('.');
            if (!shapes.TryGetValue(name[..dot], out (int OutFeatures, int InFeatures) linear)) Checkpoint.CheckShape(name, Config.HiddenSize);
            else if (name[dot..] == ".bias") Checkpoint.CheckShape(name, linear.OutFeatures);
            else Checkpoint.CheckShape(name, linear.OutFeatures, linear.InFeatures);
        }
        foreach (string name in new[] { EmbeddingName, HeadName })
        {
            if (Checkpoint.Contains(name) || !Config.TiedEmbeddings) Checkpoint.CheckShape(name, Config.VocabularySize, Config.HiddenSize);
        }
    }

    /// <summary>Loads the embedding [vocabulary, hidden]; with tied weights either name serves.</summary>
    public Tensor LoadEmbedding() => LoadTied(EmbeddingName, HeadName);

    /// <summary>Loads block <paramref name="index"/>.</summary>
    public DecoderBlock LoadBlock(int index) => _family.LoadBlock(Checkpoint, Device, Rope, index);

    /// <summary>Loads the final norm and the output head.</summary>
    public OutputHead LoadHead() => new(_family.LoadFinalNorm(Checkpoint, Device), LoadTied(HeadName, EmbeddingName));

    /// <summary>The input of block 0: one row per id.</summary>
    /// <exception cref="CheckpointException">An id is not in the vocabulary.</exception>
    public void Embed(Tensor embedding, ReadOnlySpan<int> ids, Tensor destination)
    {
        for (int i = 0; i < ids.Length; i++)
        {
            if ((uint)ids[i] >= (uint)Config.VocabularySize)
                throw new CheckpointException($"Token id {ids[i]} (position {i}) is beyond the vocabulary of {Config.VocabularySize}: text or ids belong to another tokenizer.");
        }
        Device.Kernels.EmbeddingForward(embedding, ids, destination);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Rope.Dispose();
        Checkpoint.Dispose();
    }

    private Tensor LoadTied(string name, string twin)
    {
        string stored = !Checkpoint.Contains(name) && Config.TiedEmbeddings && Checkpoint.Contains(twin) ? twin : name;
        return Checkpoint.Load(Device, stored, Config.VocabularySize, Config.HiddenSize);
    }
}

/// <summary>Final norm and output head: from the last hidden state to logits.</summary>
/// <param name="norm">In front of the head; owned.</param>
/// <param name="weight">[vocabulary, hidden]; owned.</param>
public sealed class OutputHead(INorm norm, Tensor weight) : IDisposable
{
    private readonly Variable _weight = new(weight);

    /// <summary>Rows of the head.</summary>
    public int VocabularySize => weight.Rows;

    /// <summary>Logits [rows, vocabulary] of hidden states [rows, hidden].</summary>
    public Variable Logits(Tape tape, Variable hidden) => tape.Linear(norm.Apply(tape, hidden), _weight);

    /// <inheritdoc/>
    public void Dispose()
    {
        norm.Dispose();
        weight.Dispose();
    }
}

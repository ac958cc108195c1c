using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Gguf;

namespace LowRankQuant.Fuzz.Targets;

/// <summary>Metadata and tensor list of a GGUF file, the model they describe, and its vocabulary.</summary>
internal sealed class GgufTarget : FuzzTarget
{
    public override string Name => "gguf";

    protected override void Read(byte[] input, Scratch scratch)
    {
        string path = scratch.Write("model.gguf", input);
        Each(() => ReadFile(path), () => ReadModel(path));
    }

    private static void ReadFile(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        foreach (GgufTensor tensor in file.Tensors.Values)
        {
            long elements = tensor.Shape.Aggregate(1L, (product, size) => product * size);
            if (elements is 0 or > 1 << 16) continue;
            Each(() => file.ReadSingles(tensor.Name, new float[elements]), () => GgufBlockDecoder.Read(file, tensor.Name));
        }
        ITokenizer tokenizer = GgufTokenizer.Create(GgufVocabularyReader.Read(file));
        tokenizer.Decode(tokenizer.Encode(TokenizerTarget.Sample, addSpecialTokens: true), skipSpecialTokens: false);
    }

    private static void ReadModel(string path)
    {
        using ICheckpoint checkpoint = CheckpointOpener.Open(path);
        RopeFrequencies.Compute(checkpoint.Config.Rope, 8);
        checkpoint.ReadChatTemplate();
    }
}

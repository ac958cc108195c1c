using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace LowRankQuant.Evaluation.Tasks;

/// <summary>One item of a task, ready to be tokenized.</summary>
internal sealed record TaskItem(string Task, int Index, Question Question)
{
    /// <summary>MMLU's subject.</summary>
    public string? Subject { get; init; }

    /// <summary>Halves of surrogate pairs in its row that were read as U+FFFD.</summary>
    public int LoneSurrogates { get; init; }

    /// <summary>A few-shot prompt, which other items of the subject begin with too; null without shots.</summary>
    public ShotPrompt? Shots { get; init; }

    /// <summary>
    /// What the item is, whatever it is read from: SHA-256 of its task, subject, contexts, choices and right choice, each text behind its length in bytes of
    /// UTF-8 (32 bits, little-endian); lower-case hexadecimal.
    /// </summary>
    public string Hash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Add(Task);
        Add(Subject ?? "");
        string last = "";
        foreach (TextPair request in Question.Requests)
        {
            // Choices of one item usually share their context, which may be long.
            Add(request.Context == last ? "" : last = request.Context);
            Add(request.Continuation);
        }
        Add(Question.Gold?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "");
        return Convert.ToHexStringLower(hash.GetHashAndReset());

        void Add(string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text), length = new byte[sizeof(int)];
            BinaryPrimitives.WriteInt32LittleEndian(length, bytes.Length);
            hash.AppendData(length);
            hash.AppendData(bytes);
        }
    }
}

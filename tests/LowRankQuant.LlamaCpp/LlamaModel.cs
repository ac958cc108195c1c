namespace LowRankQuant.LlamaCpp;

/// <summary>A model loaded by llama.cpp, with its vocabulary.</summary>
public sealed unsafe class LlamaModel : IDisposable
{
    private readonly nint _vocabulary;

    internal LlamaModel(LlamaEngine engine, string path)
    {
        Engine = engine;
        Parameters parameters = ((delegate* unmanaged[Cdecl]<Parameters>)engine.Llama("llama_model_default_params"))();
        fixed (byte* file = LlamaEngine.Utf8(path))
            Handle = ((delegate* unmanaged[Cdecl]<byte*, Parameters, nint>)engine.Llama("llama_model_load_from_file"))(file, parameters);
        if (Handle == 0) throw LlamaEngine.Refused(path);
        _vocabulary = ((delegate* unmanaged[Cdecl]<nint, nint>)engine.Llama("llama_model_get_vocab"))(Handle);
        VocabularySize = ((delegate* unmanaged[Cdecl]<nint, int>)engine.Llama("llama_vocab_n_tokens"))(_vocabulary);
    }

    /// <summary>Tokens of the vocabulary: columns of the logits.</summary>
    public int VocabularySize { get; }

    internal LlamaEngine Engine { get; }

    internal nint Handle { get; }

    /// <summary>Ids of a text. Ends the process on a character that a vocabulary of kind llama without byte tokens cannot spell.</summary>
    /// <param name="text">The text.</param>
    /// <param name="special">Whether special tokens are added and recognised.</param>
    public int[] Tokenize(string text, bool special)
    {
        byte[] utf8 = LlamaEngine.Utf8(text);
        int[] ids = new int[utf8.Length + 16];
        byte flag = special ? (byte)1 : (byte)0;
        fixed (byte* bytes = utf8)
        fixed (int* target = ids)
        {
            int count = ((delegate* unmanaged[Cdecl]<nint, byte*, int, int*, int, byte, byte, int>)Engine.Llama("llama_tokenize"))(
                _vocabulary, bytes, utf8.Length - 1, target, ids.Length, flag, flag);
            return count >= 0 ? ids[..count] : throw new InvalidOperationException($"The text has {-count} tokens; there is room for {ids.Length}.");
        }
    }

    /// <summary>A context to run the model in.</summary>
    /// <param name="exact">One thread, 32-bit key-value cache, no flash attention: F32 models then agree with double precision to some 1e-5.</param>
    /// <param name="length">Tokens it has room for.</param>
    /// <param name="threads">Threads when not exact.</param>
    public LlamaContext CreateContext(bool exact, int length = 512, int threads = 2) => new(this, exact, length, threads);

    /// <summary>Loads a LoRA adapter; it lives as long as the model.</summary>
    /// <exception cref="InvalidDataException">The engine refuses the file; the message holds its reason.</exception>
    public nint LoadAdapter(string path)
    {
        fixed (byte* file = LlamaEngine.Utf8(path))
        {
            nint adapter = ((delegate* unmanaged[Cdecl]<nint, byte*, nint>)Engine.Llama("llama_adapter_lora_init"))(Handle, file);
            return adapter != 0 ? adapter : throw LlamaEngine.Refused(path);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => ((delegate* unmanaged[Cdecl]<nint, void>)Engine.Llama("llama_model_free"))(Handle);
}

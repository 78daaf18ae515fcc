"""What a weights file or a flag may say about a network: its architecture, nothing that names a file or an address."""

import math
import re

from unmask.config.serialize import shown
from unmask.errors import UserError

_ARCHITECTURE = """
aa_layer aa_stem_only abs_win_pos_embed act_layer alpha always_partition attn attn_act_layer attn_bias
attn_block attn_block_token_only attn_drop attn_drop_rate attn_early attn_gain attn_groups
attn_head_dim_reduction attn_kwargs attn_layer attn_mlp attn_mlp_ratio attn_only_layer_scale attn_pool_mlp_ratio
attn_pool_num_heads attn_ratio attn_stage attn_type attn_types attn_upsample aux_logits avg_down b base_dim
base_dims base_width basic bias bidirectional block_args block_config block_kwargs block_layer block_layers
block_layers_token block_reduce_first block_type bn_eps bn_momentum bn_size bottle_ratio bottleneck_width_ratio
cardinality ch_div channel_attention channel_attn_v2 channel_multiplier channels class_token cls_attn_layers
cls_ratio conv_bias conv_init conv_layer conv_mlp conv_ratio cpe_act crop_scale crpe_window d2_scales
deepen_factor depth depth_list depth_mult depth_token_only depths dim dim_head dim_mul dims distillation
distilled down_kernel_size down_op down_ops down_pad down_patch_size down_stride downsample downsample_block
downsample_expand_ratios downsample_kernel_size downsample_norm downsample_padding downsample_pool_type
downsample_ratio downsamples drop_block_rate drop_block_size drop_path_rate drop_rate dw_act_layer
dynamic_img_pad dynamic_img_size embed_dim embed_dims embed_layer embed_norm embed_norm_layer encoder_pool eta
expand_attn expand_first expand_groups expand_output expand_ratio expansion_ratio extra_conv extra_norm_period
extra_norm_stage fc_act_layer fc_norm feature_dim ffn ffn_ratio final_chs final_norm first_stride fix_init
fix_stem focal_levels focal_windows fused_conv fused_downsample gamma_in_act global_att_blocks
global_attn_indexes global_block_counts global_pool global_pos_size grid_size group group_min_ratio group_size
groups growth_rate growth_rates head head_bias head_dim head_first head_hidden_size head_init_scale head_mul
head_norm head_norm_first head_type head_widths heads hidden_sizes img_scale inc_sec inference_mode
init_channels init_std init_values initial_chs inner_dim inplanes input_3x3 intermediate_size
is_downsample_block k_r k_sec kernel_qkv kernel_size kernel_sizes kernels key_dim layer_scale
layer_scale_init_value layer_scale_init_values layers layerscale_value legacy levels linear linear_out
lkc_use_act local_conv_size local_mbconv_norm local_up_to_layer locality_strength ls_init_value mask_unit_attn
mask_unit_size mbconv_expand_ratio memory_efficient merge_size mix_block_ratio mlp_act mlp_bias mlp_block
mlp_block_token_only mlp_layer mlp_ratio mlp_ratio_token_only mlp_ratios mode msfa_indices
msfa_output_resolution multi_conv n_div named_blocks neck_chans nlhb no_block_attn no_embed_class norm_eps
norm_layer norm_layer_cl norm_layers normalize_modulator num_blocks num_blocks_list num_features num_heads
num_heads_inner num_heads_outer num_init_features num_kv_heads num_levels num_reg_tokens num_rnn_layers num_vit
outlook_attention output_bias output_norm output_stride pad_type padding parallel_depth partial_dim
partition_ratio patch patch_drop_rate patch_kernel patch_layer patch_norm patch_padding patch_size patch_sizes
patch_stride pconv_fw_type pool_first pool_include_prefix pool_size pool_type pooling_kernel_size pooling_scale
pos_drop_rate pos_embed pos_embed_grid_size pos_embs position_embedding_size post_layers power
pre_norm pre_norm_act preact pretrained_window_sizes proj_bias proj_drop proj_drop_rate q_pool q_stride qk_dim
qk_norm qkv_bias qkv_fused reduction ref_feat_shape reg reg_tokens rel_pos_dim rel_pos_type reparam
replace_stem_pool repmixer_kernel_size res_scale_init_values residual_pooling rnn_layer rope_grid_indexing
rope_grid_offset rope_jitter_coords rope_mrope_section rope_rescale_coords rope_rotate_half rope_shift_coords
rope_temperature rope_theta rope_type same_padding scale scale_attn_inner scale_attn_norm scale_mlp
scale_mlp_norm se_downsamples se_from_exp se_layer se_ratio self_attn_kwargs self_attn_layer sep_pos_embed
sequential_attn serial_depths shared_rel_pos shortcut_bias shortcut_root skipinit small small_kernels
spatial_conv sr_ratios ssd_expand stages standardize state_dim std_conv_eps stem_bias stem_chs stem_expand_ratio
stem_hidden_dim stem_kernel_size stem_mid_norm stem_norm stem_pool stem_size stem_stride stem_type
stem_use_scale_branch stem_width strict_img_size stride stride_kv stride_kv_adaptive stride_mode stride_q
strides swiglu_align_to swiglu_mlp threshold token_mixers tokens_norm transformer_depths transformer_drop_path
transition_compression_ratio types union use_abs_pos use_abs_pos_emb use_aux_head use_clipped_linears
use_cls_token use_conv use_expand_proj use_fc_norm use_grn use_lab use_layer_scale use_mix_token use_mlp_head
use_msfa use_nchw_attn use_overlap_down use_pos_emb use_pos_embed use_post_norm use_post_norm_in_modulation
use_post_transformer_norm use_pre_transformer_norm use_rel_pos use_rel_pos_bias use_rope use_rot_pos_emb
use_shared_rel_pos_bias v2 version vit_stem w0 wa weight_init widen_factor width width_factor width_list
width_mult widths window_ratio window_size window_sizes window_spec with_fc wm wss zero_init_fc zero_init_last
"""
ARCHITECTURE = frozenset(_ARCHITECTURE.split())
"""Arguments of timm's constructors, and of patchnet, that shape a network. The list is fixed instead of read from
timm, so that no argument of a later version can load a file: what `timm.create_model` takes beside the architecture
(`pretrained`, `checkpoint_path`, ...) and what the data decide (`img_size`, `in_chans`, `num_classes`) is not in it."""
_IN_BLOCKS = """
avd avd_first beta block_size dilation double_act drop_block extent_size feat_size first_dilation fuse_add gamma
gate_fn gate_layer halo_size is_first keep_input_channels min_reduction_channels qk_ratio radix rd_channels
rd_divisor rd_ratio reduce_first rel_pos_size sk_kwargs split_factor split_input use_attn use_fusion use_mlp
"""
IN_BLOCKS = frozenset(_IN_BLOCKS.split())
"""Keys of arguments that are themselves objects, such as block_args, beside those above."""
NAME = re.compile(r"[A-Za-z0-9_.-]+")
"""Model names: no colon or slash, which would make timm treat a name as a repository or a folder."""
_WORD = re.compile(r"[A-Za-z0-9_.+-]{0,64}")


def require_architecture(options: object) -> None:
    """Raise `UserError` unless all options are architecture arguments: numbers, words, booleans and None, also in lists
    and, under the keys of blocks, in dicts."""
    if options is None:
        return
    if not isinstance(options, dict):
        raise UserError(f"encoder_options = {options!r}: expected an object of names and values")
    for name, value in options.items():
        if name not in ARCHITECTURE:
            raise UserError(
                f"encoder_options: {name!r} = {shown(value)} is not an argument of an architecture, remove it; files, "
                "weights and addresses cannot be given here, and size, channels and classes come from the data"
            )
        _require_plain(value, f"encoder_options.{name}")


def _require_plain(value: object, path: str) -> None:
    """Raise `UserError` unless a value consists of plain numbers and words."""
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _require_plain(item, f"{path}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ARCHITECTURE | IN_BLOCKS:
                raise UserError(f"{path}: {key!r} = {shown(item)} is not an argument of a block, remove it")
            _require_plain(item, f"{path}.{key}")
    elif isinstance(value, str):
        if not _WORD.fullmatch(value):
            raise UserError(f"{path} = {shown(value)} is not one word: paths and addresses cannot be given here")
    elif not (value is None or (isinstance(value, int | float) and math.isfinite(value))):
        raise UserError(f"{path} = {shown(value)}: expected a number, a word, true, false or none")
